use service::exit::Outcome;

use super::{World, keys};
use crate::fixture::Organization;

const NIMBUS: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

#[tokio::test(flavor = "multi_thread")]
async fn until_end_uploads_the_graph_once_and_then_nothing() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
    assert_eq!(world.statuses(), ["FINISHED"]);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), ["FINISHED"]);
}
