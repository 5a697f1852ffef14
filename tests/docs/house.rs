//! How the house is built: which room uses which, no circles, files of a size, names that mean one thing.

use std::collections::{BTreeMap, BTreeSet};

use crate::pages::quoted;
use crate::source::{Module, Source};
use crate::{files, read};

/// No file has more lines, tests left out.
const MOST_LINES: usize = 300;

fn room(module: &Module) -> &str {
    &module[0]
}

/// The rooms that a room uses.
fn rooms(source: &Source) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut rooms: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, used) in source.uses() {
        let Some(name) = module.first() else { continue };
        let used = used.into_iter().map(room).filter(|used| used != name);
        rooms.entry(name).or_default().extend(used);
    }
    rooms
}

/// Everything that a use of a use, and so on, leads to.
fn reached<N: Ord + Copy>(from: N, uses: &BTreeMap<N, BTreeSet<N>>) -> BTreeSet<N> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        next.extend(uses.get(&at).into_iter().flatten().copied().filter(|used| reached.insert(*used)));
    }
    reached
}

/// Those that lead back to themselves, in groups that lead to each other.
fn circles<N: Ord + Copy>(uses: &BTreeMap<N, BTreeSet<N>>) -> BTreeSet<Vec<N>> {
    let reached: BTreeMap<N, BTreeSet<N>> = uses.keys().map(|from| (*from, reached(*from, uses))).collect();
    let in_circle = uses.keys().filter(|from| reached[from].contains(from));
    in_circle
        .map(|from| {
            let others =
                uses.keys().filter(|other| reached[from].contains(other) && reached[other].contains(from));
            others.copied().collect()
        })
        .collect()
}

#[test]
fn rooms_know_only_what_the_architecture_lets_them() {
    let page = read("docs/ARCHITECTURE.md");
    let allowed: BTreeMap<&str, BTreeSet<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 4)
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            (cells[1].trim().trim_matches('`'), quoted(cells[3]))
        })
        .collect();
    let source = Source::read();
    let rooms = rooms(&source);
    assert!(rooms.len() > 10);
    for (room, used) in rooms.iter().filter(|(room, _)| **room != "cli") {
        let may = allowed.get(room).unwrap_or_else(|| panic!("docs/ARCHITECTURE.md has no room {room}"));
        let not: Vec<_> = used.difference(may).collect();
        assert!(not.is_empty(), "{room} uses {not:?}, which docs/ARCHITECTURE.md does not let it");
        let unused: Vec<_> =
            may.iter().filter(|may| rooms.contains_key(*may) && !used.contains(*may)).collect();
        assert!(unused.is_empty(), "docs/ARCHITECTURE.md lets {room} use {unused:?}, and it does not");
    }
}

#[test]
fn no_rooms_and_no_files_use_each_other_in_a_circle() {
    let source = Source::read();
    assert_eq!(circles(&rooms(&source)), BTreeSet::new(), "rooms use each other");
    let uses = source.uses();
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 300, "uses are not found any more");
    let circles: Vec<Vec<String>> =
        circles(&uses).iter().map(|files| files.iter().map(|file| file.join("::")).collect()).collect();
    assert!(circles.is_empty(), "files use each other: {circles:#?}");
}

#[test]
fn every_file_says_what_it_is_for_and_is_about_one_thing() {
    let source = Source::read();
    let silent: Vec<&str> = source
        .files
        .values()
        .map(|file| file.path.as_str())
        .filter(|path| !read(path).starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "without a head: {silent:?}");
    let long: Vec<_> = source
        .files
        .values()
        .filter(|file| file.lines > MOST_LINES)
        .map(|file| format!("{} ({})", file.path, file.lines))
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines without their tests: {long:?}");
    for path in files("src", "rs") {
        assert!(!read(&path).contains("#[path"), "{path}: a module stands where its name says");
    }
}

#[test]
fn a_name_means_one_thing() {
    let source = Source::read();
    let mut types: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut constants: BTreeMap<String, Vec<(syn::Expr, &str)>> = BTreeMap::new();
    for file in source.files.values() {
        for name in file.types() {
            types.entry(name).or_default().push(&file.path);
        }
        for (name, value) in file.constants() {
            constants.entry(name).or_default().push((value, &file.path));
        }
    }
    let twice: Vec<_> = types.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(twice.is_empty(), "types of one name: {twice:#?}");
    let two_values: Vec<_> = constants
        .iter()
        .filter(|(_, found)| found.iter().any(|(value, _)| *value != found[0].0))
        .map(|(name, found)| (name, found.iter().map(|(_, file)| *file).collect::<Vec<_>>()))
        .collect();
    assert!(two_values.is_empty(), "constants of one name with several values: {two_values:#?}");
}
