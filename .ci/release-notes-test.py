"""What release-notes.py takes and refuses."""

import importlib.util
import pathlib
import unittest

place = pathlib.Path(__file__).with_name("release-notes.py")
spec = importlib.util.spec_from_file_location("release_notes", place)
release_notes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release_notes)

CHANGELOG = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-24

### Added

- Something.

## [0.1.0]

- The first.

[0.2.0]: https://example.com
"""


class Notes(unittest.TestCase):
    def test_a_section_is_found_whole(self):
        self.assertEqual(release_notes.notes(CHANGELOG, "0.2.0"), "### Added\n\n- Something.")
        last = CHANGELOG.replace("## [0.1.0]\n", "## [0.1.0] - 2026-12-01\n")
        self.assertEqual(release_notes.notes(last, "0.1.0"), "- The first.")

    def test_what_is_missing_undated_or_empty_is_refused(self):
        for version, told in (("0.3.0", "no section"), ("0.1.0", "YEAR-MONTH-DAY"), ("2.0", "no section")):
            with self.assertRaises(SystemExit) as refused:
                release_notes.notes(CHANGELOG, version)
            self.assertIn(told, str(refused.exception))
        empty = CHANGELOG.replace("### Added\n\n- Something.\n", "")
        with self.assertRaises(SystemExit) as refused:
            release_notes.notes(empty, "0.2.0")
        self.assertIn("is empty", str(refused.exception))


unittest.main()
