//! One field of an account: its name, type, choices, and whether it can be written.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use strum::{AsRefStr, EnumString};

/// A field as the settings endpoint describes it; only the keys that Freshet uses.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own shape")]
pub struct Field {
    /// The name that people see.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub label: String,
    /// The internal name; custom fields start with `cf_`.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// True for Freshsales' own fields, false for the account's custom ones.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub default: bool,
    /// False where users may not change it.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub actionable: bool,
    /// Whether the account's admins require a value.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub required: bool,
    /// The choices of a drop-down, radio or multi-select.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub choices: Vec<Choice>,
    /// Whether an `auto_complete` holds several values.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub multiple: bool,
    /// The endpoint where an `auto_complete` looks its values up.
    #[serde(default)]
    pub auto_suggest_url: Option<String>,
}

/// Fields that Freshsales sets itself. They are listed here because the metadata does not distinguish them: a trial
/// account's has `actionable: true` for every field.
const SYSTEM_FIELDS: &[&str] = &[
    "active_sales_sequences",
    "age",
    "completed_sales_sequences",
    "created_at",
    "creater_id",
    "customer_fit",
    "expected_deal_value",
    "last_assigned_at",
    "last_contacted",
    "last_contacted_mode",
    "last_contacted_sales_activity_mode",
    "last_contacted_via_sales_activity",
    "last_seen",
    "lead_score",
    "recent_note",
    "stage_updated_time",
    "upcoming_activities_time",
    "updated_at",
    "updater_id",
    "web_form_id",
    "web_form_ids",
];

impl Field {
    /// Whether writing the field has no effect, because Freshsales sets it.
    pub fn read_only(&self) -> bool {
        !self.actionable || (self.default && SYSTEM_FIELDS.contains(&self.name.as_str()))
    }

    /// Whether the account's admins added the field. Its value is sent inside `custom_field`.
    pub fn custom(&self) -> bool {
        !self.default
    }
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq, AsRefStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum FieldType {
    /// One line, at most 255 characters.
    Text,
    /// Several lines.
    Textarea,
    /// A number.
    Number,
    /// One of the choices.
    Dropdown,
    /// Any of the choices.
    MultiSelectDropdown,
    /// True or false.
    Checkbox,
    /// A day.
    Date,
    /// One of the choices.
    Radio,
    /// A reference to other records, or tags.
    AutoComplete,
    /// A list of objects (e-mails, phone numbers, linked accounts).
    GroupField,
    /// A date with a time.
    DateTimeSplit,
    /// A type that this version does not know: its values are sent unchanged.
    #[strum(default, transparent)]
    Other(String),
}

impl FieldType {
    /// The word in the metadata.
    pub fn as_str(&self) -> &str {
        self.as_ref()
    }
}

impl<'de> Deserialize<'de> for FieldType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from(word.as_str()))
    }
}

/// One choice of a drop-down, radio or multi-select.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Choice {
    /// The form in which default fields take the choice.
    pub id: ChoiceId,
    /// The label, the form in which custom fields take the choice.
    #[serde(deserialize_with = "any_scalar")]
    pub value: String,
    /// The pipeline that a deal's stage belongs to. Owners have one, too, which means nothing.
    #[serde(default, rename = "deal_pipeline_id", deserialize_with = "id_or_none")]
    pub pipeline: Option<i64>,
}

/// A choice's id: a number, digits in a string, or a plain name, as the account sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChoiceId<Text = String> {
    /// A number, or a string of digits, which the API takes as a number.
    Number(i64),
    /// A name (`time_zone`'s choices).
    Text(Text),
}

impl<Text> ChoiceId<Text> {
    /// The same id with its text in another form.
    pub fn map<'a, Other>(&'a self, keep: impl FnOnce(&'a Text) -> Other) -> ChoiceId<Other> {
        match self {
            Self::Number(number) => ChoiceId::Number(*number),
            Self::Text(text) => ChoiceId::Text(keep(text)),
        }
    }
}

impl<Text: AsRef<str>> ChoiceId<Text> {
    /// Whether the id is written as this text.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Self::Number(number) => text.parse() == Ok(*number) && number.to_string() == text,
            Self::Text(id) => id.as_ref() == text,
        }
    }
}

impl From<String> for ChoiceId {
    fn from(text: String) -> Self {
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Self::Number(number),
            _ => Self::Text(text),
        }
    }
}

impl std::fmt::Display for ChoiceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for ChoiceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            // Not read as an empty text: sent as an id, it would clear the field.
            Value::Null => Err(serde::de::Error::custom("a choice without an id")),
            id @ (Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => any_scalar(id).map(Self::from).map_err(serde::de::Error::custom),
        }
    }
}

fn yes() -> bool {
    true
}

fn null_is_yes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(true))
}

fn null_is_empty<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A pipeline that cannot be read must not cost the choice.
fn id_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(super::selectors::id(&Value::deserialize(deserializer)?))
}

/// Accounts write ids and labels as numbers or as strings.
fn any_scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(serde::de::Error::custom("expected a string or a number")),
    }
}
