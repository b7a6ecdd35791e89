//! Turns raw records into changes and compacted state.
