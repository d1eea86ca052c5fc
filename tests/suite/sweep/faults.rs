//! What goes wrong: one thing for each case, and what a command may say of it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::ops::{Template, Way};
use crate::support::{Run, eventually};

/// How long a push that was held back may take to arrive, on a busy machine.
const ARRIVAL_BOUND: Duration = Duration::from_secs(60);

/// The time of a command whose push is held back: it has to begin, and then only waits.
const LATE_BUDGET: &str = "3s";
const LATE_BUDGET_OVER_SSH: &str = "8s";

/// What the command says of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// What it says when nothing goes wrong.
    Usual,
    /// That the hub refuses.
    Refused,
    /// That it cannot be reached.
    Away,
    /// That nobody knows.
    Unknown,
    /// Nothing: it was killed.
    Nothing,
}

impl Said {
    /// Fails unless `run` ended so; `usual` is the exit code without a fault.
    #[track_caller]
    pub(super) fn check(self, run: &Run, usual: Option<i32>) {
        let expected = match self {
            Self::Usual => usual,
            Self::Refused => Some(4),
            Self::Away => Some(7),
            Self::Unknown => Some(9),
            Self::Nothing => None,
        };
        if run.exit_code() != expected {
            run.fail(&format!("{self:?} was expected: exit status {expected:?}"));
        }
    }
}

/// What a hub does to a push.
#[derive(Debug, Clone, Copy)]
pub(super) struct HubFault {
    pub(super) name: &'static str,
    /// The hook in which it happens, and what it does there; no hook: the hub is away.
    hook: Option<(&'static str, &'static str)>,
    pub(super) said: Said,
    /// Whether the hub has the operation after it.
    pub(super) has_it: bool,
    pub(super) arrives: Arrives,
}

/// When a push arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrives {
    /// At once or never.
    InTime,
    /// After the command gave up, before anybody asks what became of it.
    BeforeItIsSettled,
    /// After the command gave up and it was made to happen by other means.
    AfterItIsSettled,
}

/// Another writer is faster: on every branch that is pushed to.
const OVERTAKE: &str = "\
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
export GIT_AUTHOR_NAME=other GIT_AUTHOR_EMAIL=other@example.invalid
export GIT_COMMITTER_NAME=other GIT_COMMITTER_EMAIL=other@example.invalid
while read -r old _ ref; do
    case $old in
        *[!0]*) other=$(git commit-tree -m other -p \"$old\" \"$old^{tree}\") ;;
        *) other=$(git commit-tree -m other \"$(git mktree </dev/null)\") ;;
    esac
    git update-ref \"$ref\" \"$other\"
done
";

/// The hook that is told of every step of a move, the last one included.
const COMMITTED: &str = "reference-transaction";

const REFUSE: &str = "echo 'not today' >&2\nexit 1\n";
const KILL: &str = "kill -9 $PPID\n";
const VANISH_AND_KILL: &str = "mv \"$PWD\" \"$PWD.away\"\nkill -9 $PPID\n";

/// Held back until the test lets it go on, or the hub is gone with the test.
const HOLD_BACK: &str = "\
echo \"$SWEEP_PUSH\" >sweep.reached
for _ in $(seq 5000); do
    [ -e sweep.open ] && exit 0
    [ -e sweep.done ] || exit 1
    sleep 0.02
done
exit 1
";

/// Runs when a push got past `pre-receive`, before its branches are compared and moved.
const NOTE_ARRIVAL: &str =
    "#!/bin/sh\n[ \"$SWEEP_PUSH\" = \"$(cat sweep.reached 2>/dev/null)\" ] && : >sweep.arrived\nexit 0\n";

/// Receives a push for who may cut the connection: in a process group of its own, since the client
/// ends whatever belongs to its own. Each push has a name: a command may push before the one that is
/// held back, with a lease that is too old, and after it, and their ends are not the one to wait for.
const RECEIVE: &str = "\
#!/bin/sh
exec setsid --wait sh -c '
    export SWEEP_PUSH=$$
    git receive-pack \"$1\"
    status=$?
    [ \"$SWEEP_PUSH\" = \"$(cat \"$1/sweep.reached\" 2>/dev/null)\" ] && : >\"$1/sweep.left\"
    exit $status
' sh \"$1\"
";

const fn fault(
    name: &'static str,
    hook: &'static str,
    does: &'static str,
    said: Said,
    has_it: bool,
) -> HubFault {
    HubFault { name, hook: Some((hook, does)), said, has_it, arrives: Arrives::InTime }
}

/// Every way in which a hub can treat a push. All but refusals befall the first push and no other.
pub(super) const HUB_FAULTS: &[HubFault] = &[
    // To git a repository that is not there is one that may not be pushed to.
    HubFault { name: "gone", hook: None, said: Said::Refused, has_it: false, arrives: Arrives::InTime },
    fault("refused", "pre-receive", REFUSE, Said::Refused, false),
    fault("refused branch by branch", "update", REFUSE, Said::Refused, false),
    fault("slow", "pre-receive", "sleep 0.2\n", Said::Usual, true),
    fault("overtaken", "pre-receive", OVERTAKE, Said::Usual, true),
    fault("cut", "pre-receive", KILL, Said::Usual, true),
    fault("cut, then away", "pre-receive", VANISH_AND_KILL, Said::Unknown, false),
    fault("applied, answer lost", COMMITTED, KILL, Said::Usual, true),
    fault("applied, answer lost, then away", COMMITTED, VANISH_AND_KILL, Said::Unknown, true),
    HubFault {
        arrives: Arrives::BeforeItIsSettled,
        ..fault("late", "pre-receive", HOLD_BACK, Said::Unknown, false)
    },
    HubFault {
        arrives: Arrives::AfterItIsSettled,
        ..fault("later than its repetition", "pre-receive", HOLD_BACK, Said::Unknown, false)
    },
];

impl HubFault {
    /// Whether it can be made where the hub is reached like this. Who receives a push over http
    /// cannot be told to outlive its connection.
    pub(super) fn fits(&self, way: Way) -> bool {
        way.has_hooks() && (way != Way::Http || self.arrives == Arrives::InTime)
    }

    /// What the command says when the hub is reached like this: a path that a clone names is looked at
    /// before git is asked to push there.
    pub(super) fn said(&self, way: Way) -> Said {
        match self.hook {
            None if way == Way::PushedClone => Said::Away,
            _ => self.said,
        }
    }

    fn is_late(&self) -> bool {
        self.arrives != Arrives::InTime
    }

    /// Puts it into the hub. Returns what the command needs in its environment.
    pub(super) fn set(&self, world: &Template) -> Vec<(&'static str, String)> {
        let hub = world.fleet.hub();
        let Some((hook, does)) = self.hook else {
            fs::rename(hub.path(), away(world)).unwrap();
            return Vec::new();
        };
        // The answer is sent before `post-receive` runs: only here it can still be lost.
        let when = if hook == COMMITTED { "[ \"$1\" = committed ] || exit 0\n" } else { "" };
        // A rule of the hub stays, until its administrator takes it away.
        let once = if does == REFUSE { "" } else { "[ -e sweep.done ] && exit 0\n: >sweep.done\n" };
        hub.install_hook(hook, &format!("#!/bin/sh\n{when}{once}{does}"));
        if !self.is_late() {
            return Vec::new();
        }
        let wrapper = hub.path().with_file_name("receive-pack");
        hub.install_hook("wrapper", RECEIVE);
        fs::rename(hub.path().join("hooks/wrapper"), &wrapper).unwrap();
        hub.install_hook("update", NOTE_ARRIVAL);
        world
            .ada
            .git(["config", "--global", "remote.origin.receivepack", &wrapper.display().to_string()])
            .success();
        let budget = if world.way == Way::Ssh { LATE_BUDGET_OVER_SSH } else { LATE_BUDGET };
        vec![("MUSTER_TIMEOUT", budget.to_owned())]
    }

    /// Takes it away again, as an administrator would who heard of it.
    pub(super) fn lift(&self, world: &Template) {
        if away(world).exists() {
            fs::rename(away(world), world.fleet.hub().path()).unwrap();
        }
        if let Some((hook, REFUSE)) = self.hook {
            fs::remove_file(world.fleet.hub().path().join("hooks").join(hook)).unwrap();
        }
        if self.is_late() {
            assert!(world.fleet.hub().path().join("sweep.reached").exists(), "the push was under way");
        }
    }

    /// Lets a push go on that was held back, and waits until it has come to its end. One that
    /// ended without asking for its branches to be moved proves nothing.
    pub(super) fn let_arrive(&self, world: &Template) {
        let hub = world.fleet.hub().path();
        fs::write(hub.join("sweep.open"), "").unwrap();
        eventually(ARRIVAL_BOUND, || hub.join("sweep.left").exists());
        assert!(hub.join("sweep.arrived").exists(), "the push that was held back went on");
    }
}

fn away(world: &Template) -> PathBuf {
    world.fleet.hub().path().with_extension("git.away")
}
