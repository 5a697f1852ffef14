//! The source under `src/`, parsed: which file uses which, and what each declares. Code that only tests see is left out,
//! because tests may put rooms together.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree};

use crate::{files, read};

/// A module's path from the crate's root, such as `["lane", "budget"]`.
pub type Module = Vec<String>;

/// One file of the library that is not only for tests.
pub struct File {
    pub path: String,
    pub module: Module,
    /// How many of its lines are not tests.
    pub lines: usize,
    syntax: syn::File,
}

/// Every such file, by its module.
pub struct Source {
    pub files: BTreeMap<Module, File>,
}

/// Whether an item is there for tests only.
fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "new kinds of Rust items are not ours to list")]
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        other => panic!("a kind of item that this check does not know: {other:?}"),
    }
}

impl Source {
    pub fn read() -> Self {
        let mut files: BTreeMap<Module, File> =
            files("src", "rs").into_iter().filter(|path| path != "src/main.rs").map(File::parse).collect();
        // A file is for tests if its parent declares it so, or if it is part of such a one.
        let mut tests: BTreeSet<Module> = BTreeSet::new();
        for file in files.values() {
            for item in &file.syntax.items {
                if let Item::Mod(item) = item
                    && for_tests(&item.attrs)
                {
                    tests.insert(file.child(&item.ident.to_string()));
                }
            }
        }
        files.retain(|module, _| !(1..=module.len()).any(|length| tests.contains(&module[..length])));
        for file in files.values_mut() {
            file.drop_tests();
        }
        Self { files }
    }

    /// The file that a path leads to: the longest part of it that is a module, or, where that module only hands on the
    /// item from another one, that one.
    fn find(&self, path: &[String]) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        let handed_on = rest.first().and_then(|name| self.files[module].handed_on().remove(name));
        match handed_on {
            Some(target) if target != path => self.find(&[&target[..], &rest[1..]].concat()),
            _ => Some(module.to_vec()),
        }
    }

    /// For each file the files that it uses.
    pub fn uses(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let mut uses = BTreeMap::new();
        for (module, file) in &self.files {
            let found: BTreeSet<&Module> = file
                .paths()
                .iter()
                .filter_map(|path| self.find(path))
                .filter(|used| used != module && !used.is_empty())
                .map(|used| self.files.get_key_value(&used).unwrap().0)
                .collect();
            uses.insert(module, found);
        }
        uses
    }
}

impl File {
    fn parse(path: String) -> (Module, Self) {
        let text = read(&path);
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let place = path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Module = place.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        let lines = text.lines().count() - test_lines(&text);
        (module.clone(), Self { path, module, lines, syntax })
    }

    fn child(&self, name: &str) -> Module {
        let mut child = self.module.clone();
        child.push(name.to_owned());
        child
    }

    fn drop_tests(&mut self) {
        self.syntax.items.retain(|item| !for_tests(attributes(item)));
    }

    /// The names that this file only hands on, and where each comes from.
    fn handed_on(&self) -> BTreeMap<String, Module> {
        let mut names = BTreeMap::new();
        for item in &self.syntax.items {
            if let Item::Use(item) = item
                && !matches!(item.vis, syn::Visibility::Inherited)
            {
                for (path, name) in leaves(&item.tree, &[]) {
                    names.extend(self.absolute(&path).map(|path| (name, path)));
                }
            }
        }
        names
    }

    /// Every path in this file that leads into the crate, from the crate's root. What it only hands on is none.
    fn paths(&self) -> Vec<Module> {
        let mut found = Paths::default();
        found.visit_file(&self.syntax);
        found.paths.iter().filter_map(|path| self.absolute(path)).collect()
    }

    fn absolute(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.module[..], rest].concat()),
            "super" => {
                let up = path.iter().take_while(|step| *step == "super").count();
                let parent = &self.module[..self.module.len().checked_sub(up)?];
                Some([parent, &path[up..]].concat())
            }
            _ => {
                let declared = |item: &Item| matches!(item, Item::Mod(item) if item.ident == *first);
                self.syntax.items.iter().any(declared).then(|| [&self.module[..], path].concat())
            }
        }
    }

    /// The names of its structs, enums, traits and type aliases.
    pub fn types(&self) -> Vec<String> {
        let name = |item: &Item| {
            let name = if let Item::Enum(item) = item {
                &item.ident
            } else if let Item::Struct(item) = item {
                &item.ident
            } else if let Item::Trait(item) = item {
                &item.ident
            } else if let Item::Type(item) = item {
                &item.ident
            } else {
                return None;
            };
            Some(name.to_string())
        };
        self.syntax.items.iter().filter_map(name).collect()
    }

    /// Its constants and their values.
    pub fn constants(&self) -> Vec<(String, syn::Expr)> {
        let constant = |item: &Item| {
            let Item::Const(item) = item else { return None };
            (item.ident != "_").then(|| (item.ident.to_string(), (*item.expr).clone()))
        };
        self.syntax.items.iter().filter_map(constant).collect()
    }
}

/// How many lines belong to items that are there for tests only: from the attribute to what ends the item, a brace or a
/// semicolon at the left edge.
fn test_lines(text: &str) -> usize {
    let mut inside = false;
    let mut lines = 0;
    for line in text.lines() {
        inside |= line == "#[cfg(test)]";
        lines += usize::from(inside);
        inside &= !(line == "}" || !line.starts_with(char::is_whitespace) && line.ends_with(';'));
    }
    lines
}

/// The paths of a `use`, each with the name that it gets.
fn leaves(tree: &UseTree, before: &[String]) -> Vec<(Vec<String>, String)> {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident)),
        UseTree::Name(name) if name.ident == "self" => {
            vec![(before.to_vec(), before.last().cloned().unwrap_or_default())]
        }
        UseTree::Name(name) => vec![(with(&name.ident), name.ident.to_string())],
        UseTree::Rename(rename) => vec![(with(&rename.ident), rename.rename.to_string())],
        UseTree::Glob(_) => vec![(before.to_vec(), "*".to_owned())],
        UseTree::Group(group) => group.items.iter().flat_map(|tree| leaves(tree, before)).collect(),
    }
}

#[derive(Default)]
struct Paths {
    paths: Vec<Vec<String>>,
}

impl Paths {
    /// Paths in a macro's arguments, where only words and colons can be distinguished.
    fn of_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
                TokenTree::Ident(word) => {
                    if colons != 2 && !path.is_empty() {
                        self.paths.push(std::mem::take(&mut path));
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                    self.of_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                }
            }
        }
        self.paths.extend((!path.is_empty()).then_some(path));
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, syn::Visibility::Inherited) {
            self.paths.extend(leaves(&item.tree, &[]).into_iter().map(|(path, _)| path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.of_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    // Where an item can be seen from is no use of that place.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
