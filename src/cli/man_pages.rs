//! `freshet man-pages`: the manual, written from the same command line that is parsed. For those who make packages; whoever
//! installs one has the pages.

use std::path::PathBuf;

use super::terminal::output::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct ManPagesArguments {
    /// Write the pages into this folder, one for each command
    folder: PathBuf,
}

pub(super) fn run(arguments: &ManPagesArguments, command: clap::Command) -> Result<(), Failure> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder)).map_err(
        |error| Failure::Failed(format!("the pages cannot be written into {}: {error}", folder.display())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_example_and_those_that_are_hidden_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let all = super::super::command();
        run(&ManPagesArguments { folder: folder.path().to_owned() }, all.clone()).ok().unwrap();
        for command in all.get_subcommands() {
            let page = folder.path().join(format!("freshet-{}.1", command.get_name()));
            let shown = std::fs::read_to_string(page).is_ok_and(|page| page.contains("Example"));
            assert_eq!(shown, !command.is_hide_set(), "{}", command.get_name());
        }
        assert!(folder.path().join("freshet-dead-letters-list.1").exists());
    }
}
