//! The window against single cases and against a model.

use super::*;
use proptest::prelude::*;

/// The oldest ready event, alone.
fn take<T>(window: &mut Window<T>) -> Option<(u64, T)> {
    let number = window.ready().next()?.0;
    window.take(number, |_| false).pop()
}

fn email(name: &str) -> ContactKey {
    ContactKey::Email(name.to_owned())
}

fn user(name: &str) -> ContactKey {
    ContactKey::UserId(name.to_owned())
}

#[test]
fn an_event_that_turns_out_to_be_about_the_same_contact_goes_before_later_ones() {
    let mut window = Window::default();
    window.insert(&[user("u")], 1);
    window.insert(&[email("a")], 2);
    let (first, item) = take(&mut window).unwrap();
    window.put_back(first, email("a"), item);
    assert!(window.has_key(first, &email("a")) && !window.has_key(first, &email("b")));
    assert_eq!(window.ready().map(|(_, item)| *item).collect::<Vec<_>>(), [1]);
    take(&mut window);
    window.finish(first);
    assert_eq!(take(&mut window).unwrap().1, 2);
}

#[test]
fn a_contact_waits_for_itself_and_others_go_on() {
    let mut window = Window::default();
    window.insert(&[email("a")], 1);
    window.insert(&[email("a")], 2);
    window.insert(&[email("b")], 3);
    let (first, item) = take(&mut window).unwrap();
    assert_eq!(item, 1);
    assert_eq!(take(&mut window).unwrap().1, 3);
    assert!(take(&mut window).is_none());
    window.finish(first);
    assert_eq!(take(&mut window).unwrap().1, 2);
}

#[test]
fn one_contact_under_two_names_keeps_its_order() {
    let mut window = Window::default();
    window.insert(&[user("u")], "track by user id");
    window.insert(&[user("u"), email("e")], "identify");
    window.insert(&[email("e")], "page by e-mail");
    let (first, item) = take(&mut window).unwrap();
    assert_eq!(item, "track by user id");
    assert!(take(&mut window).is_none());
    window.finish(first);
    let (second, item) = take(&mut window).unwrap();
    assert_eq!(item, "identify");
    assert!(take(&mut window).is_none());
    window.finish(second);
    assert_eq!(take(&mut window).unwrap().1, "page by e-mail");
}

#[test]
fn an_event_known_by_one_more_name_waits_for_those_before_it() {
    let mut window = Window::default();
    window.insert(&[email("e")], "page by e-mail");
    window.insert(&[user("u")], "track by user id");
    window.insert(&[email("e")], "later page");
    let (first, _) = take(&mut window).unwrap();
    let (second, item) = take(&mut window).unwrap();
    window.put_back(second, email("e"), item);
    assert!(take(&mut window).is_none());
    window.finish(first);
    assert_eq!(take(&mut window).unwrap().1, "track by user id");
    assert!(take(&mut window).is_none());
    window.finish(second);
    assert_eq!(take(&mut window).unwrap().1, "later page");
}

#[test]
fn what_stands_right_behind_may_come_along() {
    let mut window = Window::default();
    window.insert(&[email("a")], 'a');
    window.insert(&[email("b")], 'b');
    window.insert(&[email("a"), user("u")], 'c');
    window.insert(&[user("u")], 'd');
    window.insert(&[user("u"), email("b")], 'e');
    window.insert(&[email("a")], 'f');
    let items = |taken: Vec<(u64, char)>| taken.into_iter().map(|(_, item)| item).collect::<String>();
    // e waits for b, too, so nothing behind it comes along.
    assert_eq!(items(window.take(0, |_| true)), "acd");
    assert_eq!(items(window.take(1, |_| true)), "b");
    let mut window = Window::default();
    for item in "abcd".chars() {
        window.insert(&[email("a")], item);
    }
    assert_eq!(items(window.take(0, |item| *item != 'c')), "ab");
}

#[test]
fn what_waits_can_be_taken_out_while_others_are_worked_on() {
    let mut window = Window::default();
    for item in 1..=4 {
        window.insert(&[email(if item % 2 == 0 { "even" } else { "odd" })], item);
    }
    let (number, _) = take(&mut window).unwrap();
    assert_eq!(window.drain_waiting(), [2, 3, 4]);
    assert_eq!(window.len(), 1);
    window.finish(number);
    assert!(window.is_empty());
    assert!(take(&mut window).is_none());
}

#[test]
fn a_kept_place_holds_up_its_contact_and_nobody_else() {
    let mut window = Window::default();
    let place = window.keep(&[user("u"), email("a")]);
    window.insert(&[email("a")], "by address");
    window.insert(&[user("u")], "by id");
    window.insert(&[email("b")], "other");
    assert!(window.kept_before(None, &[email("c"), user("u")]));
    assert!(!window.kept_before(None, &[email("b")]));
    assert!(!window.kept_before(Some(place), &[user("u")]));
    assert!(window.kept_before(Some(place + 1), &[user("u")]));
    assert_eq!(take(&mut window).unwrap().1, "other");
    assert!(take(&mut window).is_none());
    assert!(window.drain_waiting().len() == 2 && window.len() == 2);
    window.insert(&[email("a")], "by address");
    window.fill(place, &[email("a")], "kept");
    assert!(!window.kept_before(None, &[email("a")]));
    assert_eq!(take(&mut window), Some((place, "kept")));
    window.finish(place);
    assert_eq!(take(&mut window).unwrap().1, "by address");
    let place = window.keep(&[email("d")]);
    window.insert(&[email("d")], "behind");
    window.finish(place);
    assert_eq!(take(&mut window).unwrap().1, "behind");
}

/// What a model knows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Kept,
    Waiting,
    Working,
    Over,
}

proptest! {
    /// Nothing lost, nothing twice, order kept between any two events that share a key, never two at once.
    #[test]
    fn every_event_comes_once_and_in_order(
        events in prop::collection::vec(prop::collection::vec((any::<bool>(), 0u8..5), 1..3), 0..60),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let keys = |event: &[(bool, u8)]| -> Vec<ContactKey> {
            event.iter().map(|(mail, n)| if *mail { email(&n.to_string()) } else { user(&n.to_string()) }).collect()
        };
        let mut window = Window::default();
        let mut working: Vec<(u64, usize)> = Vec::new();
        let mut seen: Vec<usize> = Vec::new();
        let mut picks = picks.iter();
        let mut incoming = events.iter().enumerate();
        loop {
            if let Some((index, event)) = incoming.next() {
                window.insert(&keys(event), index);
            }
            if let Some((number, index)) = take(&mut window) {
                for (_, other) in &working {
                    prop_assert!(!keys(&events[index]).iter().any(|key| keys(&events[*other]).contains(key)));
                }
                working.push((number, index));
                seen.push(index);
            } else if working.is_empty() && seen.len() == events.len() {
                break;
            } else if let Some(pick) = picks.next().filter(|_| !working.is_empty()) {
                let (number, _) = working.remove(pick.index(working.len()));
                window.finish(number);
            } else if !working.is_empty() {
                let (number, _) = working.remove(0);
                window.finish(number);
            }
        }
        prop_assert!(window.is_empty());
        for (place, index) in seen.iter().enumerate() {
            for later in &seen[place + 1..] {
                prop_assert!(index != later);
                let shared = keys(&events[*index]).iter().any(|key| keys(&events[*later]).contains(key));
                prop_assert!(!shared || index < later);
            }
        }
    }

    /// With places kept for events that are judged later, if at all: ready is exactly what waits and has nothing
    /// before it that shares a key and is not over.
    #[test]
    fn what_is_ready_is_what_nothing_stands_before(
        events in prop::collection::vec(
            (prop::collection::vec((any::<bool>(), 0u8..4), 1..3), any::<bool>()), 1..40),
        steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 0..200),
    ) {
        let keys = |event: &[(bool, u8)]| -> Vec<ContactKey> {
            event.iter().map(|(mail, n)| if *mail { email(&n.to_string()) } else { user(&n.to_string()) }).collect()
        };
        let share = |one: usize, other: usize| {
            let others = keys(&events[other].0);
            keys(&events[one].0).iter().any(|key| others.contains(key))
        };
        let mut window = Window::default();
        let mut model: Vec<Is> = Vec::new();
        for (step, pick) in steps {
            let all = |wanted: Is, model: &[Is]| -> Vec<usize> {
                (0..model.len()).filter(|index| model[*index] == wanted).collect()
            };
            let chosen = |from: Vec<usize>| (!from.is_empty()).then(|| from[pick.index(from.len())]);
            match step {
                0 | 1 if model.len() < events.len() => {
                    let (named, kept) = &events[model.len()];
                    if *kept {
                        prop_assert_eq!(window.keep(&keys(named)), model.len() as u64);
                        model.push(Is::Kept);
                    } else {
                        window.insert(&keys(named), model.len());
                        model.push(Is::Waiting);
                    }
                }
                2 => {
                    let number = window.ready().next().map(|(number, _)| number);
                    if let Some((number, index)) = number.and_then(|number| window.take(number, |_| false).pop()) {
                        prop_assert_eq!(number, index as u64);
                        model[index] = Is::Working;
                    }
                }
                3 => {
                    if let Some(index) = chosen(all(Is::Working, &model)) {
                        window.finish(index as u64);
                        model[index] = Is::Over;
                    }
                }
                _ => {
                    if let Some(index) = chosen(all(Is::Kept, &model)) {
                        let saved = pick.index(3) > 0;
                        if saved { window.fill(index as u64, &keys(&events[index].0), index) } else { window.finish(index as u64) }
                        model[index] = if saved { Is::Waiting } else { Is::Over };
                    }
                }
            }
            let free = |index: &usize| {
                model[*index] == Is::Waiting
                    && (0..*index).all(|before| model[before] == Is::Over || !share(before, *index))
            };
            let expected: Vec<usize> = (0..model.len()).filter(free).collect();
            let ready: Vec<usize> = window.ready().map(|(_, index)| *index).collect();
            prop_assert_eq!(ready, expected);
            prop_assert_eq!(window.len(), model.iter().filter(|is| **is != Is::Over).count());
        }
    }
}
