//! What the services write is found good.

use std::collections::BTreeMap;

use simulator::anthropic::{ROUND, Settings};
use tests::world::World;

use crate::findings::Findings;

/// Verifies a world.
///
/// # Panics
/// Unless every law holds and nothing is uncheckable.
fn is_good(world: &World) -> Findings {
    let verified = world.run("processor", &["verify", "--json"]);
    let findings = Findings::of(&verified);
    assert_eq!(findings.violations, Vec::<String>::new());
    verified.expect(0);
    assert_eq!(findings.uncheckable, BTreeMap::new());
    findings
}

#[test]
fn a_life_of_creations_updates_and_deletions_is_good() {
    let world = World::of(vec![Settings::default(), Settings { seed: 7, ..Settings::default() }]);
    world.round();
    is_good(&world);
    for _ in 0..3 {
        for end in &world.anthropic {
            end.live(ROUND);
        }
        world.round();
    }
    let findings = is_good(&world);
    for law in ["fold", "before-images", "revisions", "change-ids", "ends", "coverage"] {
        assert!(findings.checked[law] > 0, "{law}");
    }
}
