//! The failpoints: where in the services the harness can end a process.

/// Every failpoint of the sources at which a process can be ended; a test holds the list to them.
pub const PLACES: [&str; 28] = [
    "producer::before_start_mark",
    "producer::after_start_mark",
    "producer::after_init_transactions",
    "producer::before_begin",
    "producer::before_manifest",
    "producer::before_commit",
    "producer::after_commit",
    "producer::before_end_mark",
    "processor::after_init_transactions",
    "processor::after_barrier",
    "processor::mid_restore",
    "processor::after_restore",
    "processor::before_begin",
    "processor::mid_produce",
    "processor::before_send_offsets",
    "processor::before_commit",
    "processor::after_commit",
    "processor::during_abandon",
    "sink::after_fencing",
    "sink::before_settle",
    "sink::before_start",
    "sink::before_intent",
    "sink::after_intent",
    "sink::mid_upload",
    "sink::before_finalize",
    "sink::after_finalize",
    "sink::before_record",
    "sink::after_record",
];

/// Places that can be made to fail, so that what follows an error can be reached.
pub const FAILING: [&str; 1] = ["processor::write_fails"];

/// The processor's writes fail now and then, so that abandoned transactions are followed by others.
pub(super) const WRITES_FAIL: &str = "processor::write_fails=10%return";

/// The service of a place.
pub fn service(place: &str) -> &str {
    place.split_once("::").map_or(place, |(service, _)| service)
}

/// Whether a transaction or a sync job is open there.
pub fn is_inside(place: &str) -> bool {
    let Some((service, step)) = place.split_once("::") else { return false };
    match service {
        "producer" => ["before_manifest", "before_commit"].contains(&step),
        "processor" => {
            ["mid_produce", "before_send_offsets", "before_commit", "during_abandon"].contains(&step)
        }
        "sink" => !["after_fencing", "before_settle", "before_start", "after_record"].contains(&step),
        _ => false,
    }
}

/// What to arm so that a process stops at the place when it is there for the `nth` time.
pub fn armed(place: &str, nth: u32) -> String {
    let action = if nth > 1 { format!("{}*off->return", nth - 1) } else { "return".to_owned() };
    match service(place) {
        "processor" if place == "processor::during_abandon" => {
            format!("processor::write_fails={action};{place}=return")
        }
        "processor" => format!("{WRITES_FAIL};{place}={action}"),
        _ => format!("{place}={action}"),
    }
}
