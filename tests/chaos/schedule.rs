//! Which faults happen when, drawn from a seed.

use crate::dice::Dice;
use crate::fault::{Fault, Kind, Target};
use crate::settings::Settings;

/// Events that are published while something breaks.
#[derive(Debug)]
pub struct Step {
    pub faults: Vec<Fault>,
    pub events: usize,
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
        steps.push(Step { faults, events: 0 });
    }
    // First without any fault: accounts that are busy pause by themselves.
    steps.insert(0, Step { faults: Vec::new(), events: 0 });
    let each = settings.events / steps.len();
    for step in &mut steps {
        step.events = each;
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
    let whom = dice.below(targets);
    Fault::draw(kind, whom, dice)
}
