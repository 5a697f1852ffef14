//! An owner given by e-mail address. `record` calls it for `owner_id`, whose choices are the account's users.

use super::mismatch::TypeMismatch;
use crate::mapping::fields::target::TargetField;
use crate::schema::{FieldType, Selector, Selectors};
use crate::segment::Given;

/// The id of the user whose address this value is, which is none of the field's choices. Returns `mismatch` if the
/// value is no address. The selector of users is added to `needs` if it has not been read.
pub(in crate::mapping) fn by_address<'a>(
    target: TargetField<'_>,
    value: &Given<'_>,
    mismatch: TypeMismatch,
    selectors: &Selectors,
    needs: &mut Vec<Selector>,
) -> Result<Option<Given<'a>>, TypeMismatch> {
    let users = target.name == "owner_id" && matches!(target.kind, FieldType::Dropdown | FieldType::Radio);
    let Some(address) = value.as_text().filter(|text| users && text.contains('@')) else {
        return Err(mismatch);
    };
    let id = if let Some(owners) = &selectors.owners {
        owners.id(address)
    } else {
        needs.push(Selector::Owners);
        None
    };
    let unknown =
        || TypeMismatch::new("no owner is known by this", "an owner's e-mail address, id or name", value);
    id.map(|id| Some(Given::Number(id.to_string().into()))).ok_or_else(unknown)
}
