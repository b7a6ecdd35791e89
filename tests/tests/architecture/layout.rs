//! Each library begins with a layout, which names all of its modules.

use std::fs;

use crate::workspace;

#[test]
fn each_library_describes_its_modules() {
    let mut missing = Vec::new();
    let folders = fs::read_dir(workspace()).expect("the workspace").flatten();
    let libraries = folders.map(|folder| folder.path().join("src/lib.rs")).filter(|path| path.is_file());
    let mut count = 0;
    for path in libraries {
        let source = fs::read_to_string(&path).expect("a source file");
        let (layout, modules) = (layout(&source), modules(&source));
        if modules.len() < 3 {
            continue;
        }
        count += 1;
        let is_named = |module: &str| {
            [format!("`{module}`"), format!("`mod@{module}`")].iter().any(|name| layout.contains(name))
        };
        let unnamed = modules.into_iter().filter(|module| !is_named(module));
        missing.extend(unnamed.map(|module| format!("{}: {module}", path.display())));
    }
    assert!(count >= 9, "{count} libraries");
    assert!(missing.is_empty(), "name these modules under `# Layout`:\n{}", missing.join("\n"));
}

/// What the documentation has from the heading on.
fn layout(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with("//!"));
    lines.skip_while(|line| *line != "//! # Layout").collect::<Vec<_>>().join("\n")
}

/// The modules of the library, without those of its tests.
fn modules(source: &str) -> Vec<&str> {
    let mut modules = Vec::new();
    let mut is_for_tests = false;
    for line in source.lines() {
        let declared = line.strip_suffix(';').and_then(|line| line.split_once("mod "));
        match declared {
            Some((visibility, name))
                if ["", "pub ", "pub(crate) "].contains(&visibility) && !is_for_tests =>
            {
                modules.push(name);
            }
            _ => {}
        }
        is_for_tests = line.starts_with("#[cfg(test)]") || is_for_tests && line.starts_with("#[");
    }
    modules
}

#[test]
fn a_module_that_is_not_named_is_found() {
    let source = "//! A library.\n//!\n//! # Layout\n//!\n//! - `one`\n\nmod one;\npub mod two;\n#[cfg(test)]\nmod tests;\n";
    assert_eq!(modules(source), ["one", "two"]);
    assert!(layout(source).contains("`one`") && !layout(source).contains("`two`"));
}
