//! The commands: one verb a file. What they say is printed by [`render`] and by nothing else, so that every command
//! escapes, shortens and colours in the same way.

pub mod render;
