//! What tells this machine from others that may use the same name: a random id of this user on it,
//! made by `join` and kept with the user's data.

use crate::machine::Machine;
use crate::machine::files::FileError;
use std::io;
use std::path::PathBuf;

fn path(machine: &Machine) -> PathBuf {
    machine.data_dir().join("machine")
}

/// The id, if it was made. What a loss of power left of one is none: `join` makes another.
///
/// # Errors
/// When it is there and cannot be read.
pub fn known(machine: &Machine) -> Result<Option<String>, FileError> {
    let text = match machine.read(&path(machine)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        read => read?,
    };
    let id = text.map(|text| text.trim().to_owned());
    Ok(id.filter(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-')))
}

/// The id, made once. In the place of one that was lost it is kept with [`keep`] once it is registered:
/// until then this machine is known by its name.
///
/// # Errors
/// When it cannot be kept.
pub fn id(machine: &Machine) -> Result<String, FileError> {
    if let Some(id) = known(machine)? {
        return Ok(id);
    }
    let id = machine.id();
    if !machine.exists(&path(machine)) {
        keep(machine, &id)?;
    }
    Ok(id)
}

/// A new id for this machine, to be kept with [`keep`] once it is registered: a home that was copied has
/// the id of another.
#[must_use]
pub fn new_id(machine: &Machine) -> String {
    machine.id()
}

/// Keeps the id that was registered.
///
/// # Errors
/// When it cannot be written.
pub fn keep(machine: &Machine, id: &str) -> Result<(), FileError> {
    machine.write(&path(machine), &format!("{id}\n"))
}
