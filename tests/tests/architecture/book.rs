//! The pages are a book: each is in its summary, and each link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use tests::pages::{pages, text};

use crate::workspace;

const SUMMARY: &str = "docs/SUMMARY.md";

#[test]
fn each_page_is_in_the_summary_once() {
    let listed: Vec<PathBuf> =
        links(&text(Path::new(SUMMARY))).iter().map(|link| resolved(Path::new(SUMMARY), link)).collect();
    let mut pages = pages();
    pages.remove(Path::new("README.md"));
    pages.remove(Path::new(SUMMARY));
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), pages);
    assert_eq!(listed.len(), pages.len(), "a page is listed twice");
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let mut dead = Vec::new();
    let mut headings = BTreeMap::new();
    for page in pages() {
        let anchors = anchors(&text(&page));
        headings.insert(page, anchors);
    }
    for page in headings.keys() {
        for link in links(&text(page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = if file.is_empty() { page.clone() } else { resolved(page, file) };
            let leads = match headings.get(&file) {
                Some(headings) => anchor.is_empty() || headings.contains(anchor),
                None => anchor.is_empty() && workspace().join(&file).exists(),
            };
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "these links lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn links_and_anchors_are_found() {
    let page = "# The `title`, (1)\n\n[One](a.md#b) and ![two](c.png); `[no](x)`.\n<img src=\"d.png\">\n\n\
                ```sh\n# no [heading](y)\n```\n\n    [no](z)\n\n## A\n## A\n<a href=\"e.md\" id=\"named\">";
    assert_eq!(links(page), ["a.md#b", "c.png", "d.png", "e.md"]);
    assert_eq!(anchors(page), ["the-title-1", "a", "a-1", "named"].map(str::to_owned).into());
}

/// A link of a page, relative to the workspace.
fn resolved(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path
}

/// Without code.
fn prose(page: &str) -> Vec<String> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.starts_with("    ") {
            lines.push(line.to_owned());
        }
    }
    lines
}

fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(page) {
        let outside_code: String = line.split('`').step_by(2).collect();
        for (begin, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
            links.extend(
                outside_code
                    .split(begin)
                    .skip(1)
                    .filter_map(|rest| rest.split_once(end))
                    .map(|(link, _)| link.to_owned()),
            );
        }
    }
    links
}

/// As GitHub and mdBook make them: in lower case, words with hyphens between them, without punctuation.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(page).into_iter().filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim().to_lowercase())
    });
    let named = prose(page).into_iter().flat_map(|line| {
        let ids = line.split(" id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        ids.map(|(id, _)| id.to_owned()).collect::<Vec<_>>()
    });
    headings
        .map(|title| {
            let kept = title.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
            let anchor: String = kept.map(|it| if it == ' ' { '-' } else { it }).collect();
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        })
        .chain(named)
        .collect()
}
