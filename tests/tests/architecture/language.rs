//! The pages are written in short, plain sentences.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace;

/// As plain-language guides advise: longer sentences have to be read twice.
const MOST_WORDS: usize = 25;

/// Phrases that readers stumbled over, each with what to write instead.
const UNCLEAR: [(&str, &str); 22] = [
    ("anew", "again, re-created"),
    ("is no", "is not a, must not be"),
    ("are no", "are not"),
    ("was no", "was not a"),
    ("were no", "were not"),
    ("whoever", "who, any user who"),
    ("of theirs", "their own"),
    ("of its own accord", "without being asked"),
    ("tells of", "reports"),
    ("tell of", "report"),
    ("told", "reported, logged"),
    ("beside", "next to, in addition to, while"),
    ("stands in", "is in"),
    ("stand in", "are in"),
    ("mend", "fix, repair"),
    ("mends", "fixes, repairs"),
    ("mended", "fixed, repaired"),
    ("a text", "a string"),
    ("to hand", "available"),
    ("ever after", "from then on"),
    ("in its midst", "in the middle"),
    ("and its kin", "name them"),
];

#[test]
fn pages_have_short_sentences() {
    let mut long = Vec::new();
    for page in pages() {
        for sentence in sentences(&read(&page)) {
            let words = words(&sentence).len();
            if words > MOST_WORDS {
                long.push(format!("{}: {words} words: {sentence}", page.display()));
            }
        }
    }
    assert!(long.is_empty(), "split these sentences:\n{}", long.join("\n"));
}

#[test]
fn pages_have_no_unclear_phrases() {
    let mut found = Vec::new();
    for page in pages() {
        for sentence in sentences(&read(&page)) {
            for (phrase, instead) in unclear(&sentence) {
                found.push(format!("{}: \"{phrase}\" ({instead}): {sentence}", page.display()));
            }
        }
    }
    assert!(found.is_empty(), "say it plainly:\n{}", found.join("\n"));
}

#[test]
fn sentences_are_found_in_every_part_of_a_page() {
    let page = "# A title\n\nOne sentence. Another\none! See [the page](a.md), `a.b c`.\n\n- An item\n  goes on.\n- The next.\n\n\
                1. First.\n\n| a | b \\| c |\n|---|---|\n| Cell one. | Two |\n\n```sh\nno sentence. here\n```\n\n    nor here. x\n\
                <!-- Nor\nhere. -->\n> Quoted.\n";
    let expected = [
        "A title",
        "One sentence.",
        "Another one!",
        "See the page, code.",
        "An item goes on.",
        "The next.",
        "First.",
        "a",
        "b \\| c",
        "Cell one.",
        "Two",
        "Quoted.",
    ];
    assert_eq!(sentences(page), expected);
}

#[test]
fn unclear_phrases_are_found_as_words() {
    let found = |sentence: &str| unclear(sentence).into_iter().map(|(phrase, _)| phrase).collect::<Vec<_>>();
    assert_eq!(found("The topic was made anew, and it is no graph."), ["anew", "is no"]);
    assert_eq!(found("There is no key, it is no longer valid, and there are no more than two."), [""; 0]);
    assert_eq!(found("A textbook is fine, amended."), [""; 0]);
}

/// All pages, relative to the workspace, in order.
fn pages() -> Vec<PathBuf> {
    let of_the_root = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];
    let mut pages: Vec<PathBuf> = of_the_root.iter().map(PathBuf::from).collect();
    let mut folders = vec![workspace().join("docs"), workspace().join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of pages can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let relative = path.strip_prefix(workspace()).expect("it lies in the workspace");
                pages.push(relative.to_owned());
            }
        }
    }
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(workspace().join(page)).expect("a page can be read")
}

/// The sentences of a page in Markdown, without its code, markup and link targets.
fn sentences(page: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    let (mut in_code, mut in_comment) = (false, false);
    for line in page.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            in_code = !in_code;
            blocks.push(String::new());
            continue;
        }
        in_comment |= trimmed.starts_with("<!--");
        let is_paragraph_open = blocks.last().is_some_and(|block| !block.is_empty());
        let is_indented_code = line.starts_with("    ") && !is_paragraph_open;
        let is_item = item(trimmed).is_some();
        if in_code || in_comment || is_indented_code || trimmed.is_empty() || trimmed.starts_with('<') {
            blocks.push(String::new());
        } else if let Some(title) = trimmed.strip_prefix('#') {
            blocks.extend([title.trim_start_matches('#').trim().to_owned(), String::new()]);
        } else if let Some(row) = trimmed.strip_prefix('|') {
            let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\0");
            blocks.extend(row.split('|').map(|cell| cell.trim().replace('\0', "\\|")));
            blocks.push(String::new());
        } else {
            if is_item {
                blocks.push(String::new());
            }
            let text = item(trimmed).or(trimmed.strip_prefix("> ")).unwrap_or(trimmed);
            let block = blocks.last_mut().expect("there is always a block");
            if !block.is_empty() {
                block.push(' ');
            }
            block.push_str(text);
        }
        in_comment &= !trimmed.contains("-->");
    }
    blocks.iter().flat_map(|block| split(&without_markup(block))).collect()
}

/// What follows the mark of a list's item.
fn item(line: &str) -> Option<&str> {
    let numbered =
        line.split_once(". ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    line.strip_prefix("- ").or(line.strip_prefix("* ")).or(numbered.map(|(_, text)| text))
}

/// A piece of code counts as one word, a link as its text.
fn without_markup(block: &str) -> String {
    let prose: String =
        block.split('`').enumerate().map(|(at, piece)| if at % 2 == 0 { piece } else { "code" }).collect();
    let mut rest = prose.as_str();
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(&before.replacen("![", "", 1).replace('[', ""));
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text.replace("**", "")
}

/// A sentence ends with a full stop, a question mark or an exclamation mark before white space.
fn split(block: &str) -> Vec<String> {
    let mut sentences = vec![];
    let mut sentence: Vec<&str> = vec![];
    for word in block.split_whitespace() {
        sentence.push(word);
        if word.trim_end_matches(['"', ')', '*', '_']).ends_with(['.', '!', '?']) {
            sentences.push(sentence.join(" "));
            sentence.clear();
        }
    }
    if words(&sentence.join(" ")).iter().any(|word| !word.bytes().all(|byte| byte == b'-')) {
        sentences.push(sentence.join(" "));
    }
    sentences
}

/// In lower case, without punctuation around them.
fn words(sentence: &str) -> Vec<String> {
    let bare = sentence.split_whitespace().map(|word| word.trim_matches(|it: char| !it.is_alphanumeric()));
    bare.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn unclear(sentence: &str) -> Vec<(&'static str, &'static str)> {
    let words = words(sentence);
    let holds = |phrase: &str| {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        words.windows(phrase.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).map_or("", |before| words[before].as_str());
            let after = words.get(at + phrase.len()).map_or("", String::as_str);
            let is_common = phrase.last() == Some(&"no")
                && (["there", "that"].contains(&before) || ["longer", "more", "less"].contains(&after));
            window.iter().eq(phrase.iter()) && !is_common
        })
    };
    UNCLEAR.into_iter().filter(|(phrase, _)| holds(phrase)).collect()
}
