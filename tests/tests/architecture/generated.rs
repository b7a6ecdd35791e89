//! What is generated from the source: written where `WRITE_DOCS` is set, and compared otherwise.

use std::fs;

use crate::workspace;

/// Set to anything, it makes the files be written and not compared.
const WRITE: &str = "WRITE_DOCS";
/// Ends what people write.
const MARK: &str = "<!-- From here on, ";

/// A whole file.
pub(crate) fn check(name: &str, generated: &str) {
    let file = workspace().join(name);
    if std::env::var_os(WRITE).is_some() {
        return fs::write(&file, generated).expect("the file is written");
    }
    let written = fs::read_to_string(&file).expect("the file can be read");
    let same = generated.lines().zip(written.lines()).take_while(|(one, other)| one == other).count();
    assert!(generated == written, "{name} differs from line {} on; {WRITE}=1 writes it", same + 1);
}

/// What follows the mark of a page: all of it, or the part before `next`.
pub(crate) fn check_behind_mark(name: &str, generated: &str, next: Option<&str>) {
    let written = fs::read_to_string(workspace().join(name)).expect("the page can be read");
    let (introduction, rest) = written.split_once(MARK).expect("the page has its mark");
    let mark = rest.lines().next().unwrap_or_default();
    let end = next.map_or("", |next| &rest[rest.find(next).expect("the page goes on")..]);
    check(name, &format!("{introduction}{MARK}{mark}\n\n{generated}{end}"));
}
