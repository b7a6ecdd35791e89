//! What a person asks of the processor: holds, decisions, replay, reset.

mod decisions;
mod replay;
mod reset;
