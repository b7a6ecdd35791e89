//! The inputs that a target begins with.

use std::fs;
use std::path::Path;

use proptest::prelude::Strategy;

use crate::mutation::{self, Input};

/// A target's inputs, and the words of its language.
#[derive(Debug, Clone)]
pub struct Corpus {
    name: String,
    files: Vec<(String, Vec<u8>)>,
    tokens: Vec<Vec<u8>>,
}

impl Corpus {
    /// These inputs, each with a name.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(name: &str, files: Vec<(String, Vec<u8>)>) -> Self {
        assert!(!files.is_empty(), "the corpus {name} is empty");
        Self { name: name.to_owned(), files, tokens: Vec::new() }
    }

    /// The files of a folder, in the order of their names; the folder's name names the target.
    ///
    /// # Panics
    /// If the folder cannot be read or is empty.
    pub fn read(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let file = |path: &Path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        };
        let paths = entries.map(|entry| entry.expect("the folder's entries can be read").path());
        let mut files: Vec<_> = paths.map(|path| file(&path)).collect();
        files.sort();
        Self::of(&folder.file_name().expect("a folder has a name").to_string_lossy(), files)
    }

    /// With words that mutations put in.
    #[must_use]
    pub fn with_tokens(mut self, tokens: &[&[u8]]) -> Self {
        self.tokens.extend(tokens.iter().map(|token| token.to_vec()));
        self
    }

    /// With these inputs besides.
    #[must_use]
    pub fn with_files(mut self, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        self.files.extend(files);
        self
    }

    /// Its inputs with their names, for another corpus.
    pub fn into_files(self) -> Vec<(String, Vec<u8>)> {
        self.files
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub(crate) fn mutated(&self) -> impl Strategy<Value = Input> + use<> {
        let files = self.files.iter().map(|(_, bytes)| bytes.clone()).collect();
        mutation::inputs(files, self.tokens.clone())
    }
}
