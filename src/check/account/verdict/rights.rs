//! What the key may do.

use crate::check::account::answers::AccountAnswers;
use crate::check::account::tried::{RightsTried, Tried};
use crate::check::finding::CheckFindings;
use crate::check::words::AGAIN;
use crate::config::AccountConfig;
use crate::freshsales::EndpointFamily;
use crate::schema::Entity;
use crate::segment::EventType;
use crate::words::counted;

const fn check_of(entity: Entity) -> &'static str {
    match entity {
        Entity::Contact => "contacts",
        Entity::SalesAccount => "sales_accounts",
        Entity::Deal => "deals",
    }
}

pub(super) fn rights(entity: Entity, answers: &AccountAnswers, findings: &mut CheckFindings) {
    let check = check_of(entity);
    let (fields, record) = (answers.fields.counts.of(entity), answers.rights.records.of(entity));
    let plural = entity.plural().replace('_', " ");
    let family = match entity {
        Entity::Contact => EndpointFamily::Contacts,
        Entity::SalesAccount => EndpointFamily::SalesAccounts,
        Entity::Deal => EndpointFamily::Deals,
    };
    let user = format!(
        "make the key of a user who may {} and {}",
        EndpointFamily::Fields.permission(),
        family.permission()
    );
    let (what, why) = match (fields, record) {
        (Tried::Works(count), Tried::Works(()) | Tried::Not) => {
            let read = if *record == Tried::Not { "" } else { ", and records can be read" };
            let fields = counted(*count as u64, "field", "fields");
            return findings.ok(check, format!("{fields}{read}"));
        }
        (Tried::Not, _) => return findings.skip(check, format!("{plural} were not tried"), AGAIN),
        (Tried::Forbidden(why) | Tried::Odd(why), _) => ("the fields", why),
        (Tried::Works(_), Tried::Forbidden(why) | Tried::Odd(why)) => ("records", why),
    };
    let message = format!("{what} of {plural} cannot be read: {why}");
    match entity {
        Entity::Contact => findings.fail(check, message, user),
        // Only events with a company or a deal need them.
        Entity::SalesAccount | Entity::Deal => {
            let kind = if entity == Entity::Deal { "a deal" } else { "a company" };
            findings.warn(check, message, format!("{user}: events with {kind} wait or become dead letters"));
        }
    }
}

pub(super) fn others(rights: &RightsTried, findings: &mut CheckFindings) {
    // The last one: the remedy for an odd answer, where it is no matter of rights.
    let families = [
        (
            "lookups",
            &rights.lookup,
            EndpointFamily::Lookups,
            "contacts can be looked up",
            "tracks by userId",
            None,
        ),
        (
            "jobs",
            &rights.jobs,
            EndpointFamily::Jobs,
            "the status of bulk jobs can be read",
            "bulk upserts",
            None,
        ),
        (
            "searches",
            &rights.search,
            EndpointFamily::Searches,
            "contacts can be searched for",
            "contacts with companies or deals, to go in bulk,",
            Some(
                "nothing to do: searches are not believed, and contacts with companies or deals go one by one",
            ),
        ),
    ];
    for (check, tried, family, works, needs, if_odd) in families {
        let user = format!("make the key of a user who may {}: {needs} need it", family.permission());
        match tried {
            Tried::Works(()) => findings.ok(check, works),
            Tried::Forbidden(why) => {
                findings.warn(check, format!("no right to {}: {why}", family.permission()), user);
            }
            Tried::Odd(why) => {
                findings.warn(check, format!("an odd answer: {why}"), if_odd.map_or(user, str::to_owned));
            }
            Tried::Not => findings.skip(check, "not tried", AGAIN),
        }
    }
}

pub(super) fn app_token(account: &AccountConfig, findings: &mut CheckFindings) {
    const CHECK: &str = "app_token";
    let tracks = account.events.iter().any(|event| matches!(event, EventType::Track | EventType::Page));
    match (tracks, &account.access.app_token) {
        (_, Some(_)) => findings.skip(
            CHECK,
            "it cannot be tried without reporting an event on a contact's timeline",
            "publish one track event of your own, and look at your contact's timeline",
        ),
        (true, None) => findings.warn(
            CHECK,
            "none, and `events` has track or page: these become dead letters",
            "add app_token (Admin settings > Integrations > Freshsales for Web), or say events = [\"identify\"]",
        ),
        (false, None) => findings.ok(CHECK, "none, and none is needed"),
    }
}
