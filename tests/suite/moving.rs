//! From the first scripts to git-muster: what old writers left behind and go on writing.

mod clones;
mod covered;
mod folders;
mod import;
mod leaving;
mod lost_text;
mod older;
mod parts;
mod points;
mod readers;
mod sides;
mod twins;
mod undone;
