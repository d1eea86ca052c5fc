//! What the tests stand on: hubs behind real servers, hosts that are machines of their own, and eyes
//! that do not depend on the code under test.
//!
//! - [`Hub`] is one bare repository and one way to reach it ([`Transport`]): a path, a `file://`
//!   address, or a real sshd, nginx or git daemon on loopback.
//! - [`Fleet`] is a hub with its [`Host`]s. `host.run(["job", "list"])` runs the program and gives a
//!   [`Run`]; `host.command([...])` takes an environment, input or a bound first, and can be left running.
//! - [`need`] says whether a program is here, and has the test skipped by name where it is not.
//! - [`inspect`] reads hubs and clones with plain git.
//! - [`eventually`] waits with a bound; nothing else in the suite sleeps.
//! - [`Transcript`] records commands with their answers, to snapshot them.
//! - [`gits`] finds the versions of git on this machine, for [`Fleet::with_git`].
//! - [`normalise`](normalise()) replaces what differs from run to run.
//!
//! Rules: the network is loopback and nothing else; nobody's configuration is read and nobody's home
//! is written; every wait has a bound; every process ends with the test that started it, also when the
//! whole run is killed; a failure shows the command, its directory, both streams and the exit status.

#![expect(dead_code, reason = "a kit: some pieces wait for the test that needs them")]

pub(crate) mod big_hub;
mod fleet;
mod git_daemon;
mod hub;
pub(crate) mod inspect;
mod leash;
mod mount;
pub(crate) mod need;
mod nginx;
mod normalise;
mod place;
mod plain_git;
mod proxy;
mod run;
mod second_git;
mod server;
mod sshd;
mod transcript;
mod wait;

pub(crate) use fleet::{Fleet, Host};
pub(crate) use hub::{Hub, MAIN, Transport};
pub(crate) use leash::send_signal;
pub(crate) use mount::{Left, Mount};
pub(crate) use normalise::normalise;
pub(crate) use plain_git::{git, try_git};
pub(crate) use proxy::{After, Cut, How, Proxy, Way};
pub(crate) use run::{HostCommand, RUN_BOUND, Run, Running};
pub(crate) use second_git::gits;
pub(crate) use transcript::Transcript;
pub(crate) use wait::{eventually, wait_for};
