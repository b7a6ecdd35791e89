//! What is valid and was not meant, end to end: strings, sizes, and a key that must be seen nowhere.

mod rows;
mod secrets;
mod sizes;
mod texts;
