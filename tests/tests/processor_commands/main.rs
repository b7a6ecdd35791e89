//! What a person asks of the processor: holds, decisions, replay, reset.

mod decisions;
mod live;
mod replay;
mod reset;
