//! Which hub a command writes to, and in which branch: the marker, the clone around, what `join`
//! wrote, the hub's own HEAD; and what is told of a repository that is passed over.

mod marker;
