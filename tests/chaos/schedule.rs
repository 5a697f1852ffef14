//! Which faults happen when, drawn from a seed.

use std::time::Duration;

use crate::dice::Dice;
use crate::fault::{Fault, Kind, Target};
use crate::settings::Settings;

/// Events that are published while something breaks.
#[derive(Debug)]
pub struct Step {
    pub faults: Vec<Fault>,
    pub events: usize,
    /// How long bulk jobs run, by account. A job that ends behind later calls may leave older values, which is documented, so
    /// none does here: the longest is short of what a lane that is taken over waits, less a call that is late; and they
    /// differ by less than the wait before a call whose answer was lost is made again.
    pub job_times: Vec<Duration>,
}

/// Deals the kinds from a shuffled deck, so that none is missing for long; now and then an account breaks besides.
pub fn draw(settings: &Settings) -> Vec<Step> {
    let mut dice = Dice::of(settings.seed, 0);
    let mut deck = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut drawn = 0;
    while drawn < settings.faults {
        if deck.is_empty() {
            deck = Kind::ALL.to_vec();
            deck.retain(|kind| kind.as_str().contains(&settings.only));
            assert!(!deck.is_empty(), "no fault is called {:?}", settings.only);
            dice.shuffle(&mut deck);
        }
        let kind = deck.pop().unwrap();
        let mut faults = vec![draw_fault(kind, settings, &mut dice)];
        let besides = dice.percent(30) && kind.target() != Target::Account && settings.only.is_empty();
        if besides && drawn + 1 < settings.faults {
            faults.push(draw_fault(Kind::API[dice.below(Kind::API.len())], settings, &mut dice));
        }
        drawn += faults.len();
        steps.push(Step { faults, events: 0, job_times: Vec::new() });
    }
    // First without any fault: accounts that are busy pause by themselves.
    steps.insert(0, Step { faults: Vec::new(), events: 0, job_times: Vec::new() });
    let each = settings.events / steps.len();
    for step in &mut steps {
        step.events = each;
        step.job_times = (0..settings.accounts).map(|_| dice.millis(300, 600)).collect();
    }
    if let Some(last) = steps.last_mut() {
        last.events += settings.events % each.max(1);
    }
    steps
}

fn draw_fault(kind: Kind, settings: &Settings, dice: &mut Dice) -> Fault {
    let targets = match kind.target() {
        Target::Replica => settings.replicas,
        Target::Node => crate::world::NODES,
        Target::Account => settings.accounts,
    };
    let drawn = dice.below(targets);
    // Where it would concern every deal, none of an event may be refused or wait for it.
    let all_deals = matches!(kind, Kind::ApiForbidsDeals | Kind::ApiDealFields);
    let whom = if all_deals { settings.without_deals() } else { drawn };
    Fault::draw(kind, whom, dice)
}
