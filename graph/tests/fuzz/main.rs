//! Malformed keys of the graph topic (`fuzz/src/lib.rs` says how to run it longer).

use std::path::Path;

use fuzz::Corpus;
use graph::state::{GraphKey, States};
use schemas::element::ElementType;

#[test]
fn a_graph_key_reads_back_and_no_element_s_key_is_taken_for_another_thing() {
    let corpus = Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/graph_keys"));
    let tokens: [&[u8]; 8] = [b"/", b"coverage/", b"hold/", b"withheld/", b"poll", b"|", b"%", b"\0"];
    fuzz::check(&corpus.with_tokens(&tokens), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some((organization_id, key)) = GraphKey::parse(&text) {
            let written = key.format(organization_id);
            if written != text {
                return Err(format!("{text:?} becomes {written:?}"));
            }
        }
        let _refused = States::default().fold_record(&text, None);
        // The text as an id: whatever it is, its element's key is the key of an element, and of that one.
        for kind in ElementType::ALL {
            let key = if kind.is_relationship() {
                kind.relationship_key(
                    &ElementType::User.entity_key(&text),
                    &ElementType::Workspace.entity_key("w"),
                )
            } else {
                kind.entity_key(&text)
            };
            let key = GraphKey::Element(key);
            if GraphKey::parse(&key.format("o")) != Some(("o", key.clone())) {
                return Err(format!("{key:?} is taken for something else"));
            }
        }
        Ok(())
    });
}
