//! The ways to reach a Kafka that is not open to everybody, each with all that the services do there: topics are made
//! and looked at, groups joined, transactions written, partitions read.

mod encryption;
mod permissions;
mod tokens;

use tests::world::World;

/// Everything that the services and people do, each with clients of its own.
fn everything_works(world: &World) {
    world.run("producer", &["check"]).expect(0);
    world.round();
    world.run("processor", &["check"]).expect(0);
    world.run("sink", &["check"]).expect(0);
    let asked: [&[&str]; 5] = [
        &["who-can"],
        &["changes", "--from", "earliest", "--until-end"],
        &["status"],
        &["holds", "list"],
        &["verify"],
    ];
    for arguments in asked {
        world.ask(arguments).expect(0);
    }
}

/// Has the services reach that broker with these properties.
fn reach(world: &mut World, bootstrap_servers: String, properties: &str) {
    world.bootstrap_servers = bootstrap_servers;
    world.kafka = format!("properties = {{ {properties} }}");
    world.configure("");
}
