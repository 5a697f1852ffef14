//! An owner given by e-mail address. Pure; `record` asks here for a field whose choices are users.

use serde_json::Value;

use super::mismatch::TypeMismatch;
use crate::mapping::fields::target::Target;
use crate::schema::{FieldType, Selector, Selectors};

/// Takes a value that is none of the field's choices for an owner's e-mail address, if it looks like one. The account's
/// users go to `needs` where they are not known. The address stays out of what is said of it.
pub(in crate::mapping) fn by_address(
    target: Target<'_>,
    value: &Value,
    misfit: TypeMismatch,
    selectors: &Selectors,
    needs: &mut Vec<Selector>,
) -> Result<Option<Value>, TypeMismatch> {
    let users = target.name == "owner_id" && matches!(target.kind, FieldType::Dropdown | FieldType::Radio);
    let Some(address) = value.as_str().filter(|text| users && text.contains('@')) else { return Err(misfit) };
    let id = if let Some(owners) = &selectors.owners {
        owners.id(address)
    } else {
        needs.push(Selector::Owners);
        None
    };
    let unknown =
        || TypeMismatch::new("no owner is known by this", "an owner's e-mail address, id or name", value);
    id.map(|id| Some(Value::from(id))).ok_or_else(unknown)
}
