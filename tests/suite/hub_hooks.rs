//! Hooks of the hub: in each state of a move of refs, with too much to say, and with what no
//! terminal should see.

use crate::support::{Fleet, Host, MAIN, Transport, inspect};

/// Where hooks run.
const HOOKED: [Transport; 3] = [Transport::Path, Transport::Ssh, Transport::Http];

/// The longest error that is still one: what a hook prints is quoted, not repeated.
const ERROR_BYTES_MAX: usize = 4096;

/// A hook, what it does, and the exit code of a write under it.
const HOOKS: [(&str, &str, i32); 11] = [
    ("reference-transaction", "[ \"$1\" != prepared ]", 4),
    // Too late to be asked: what is committed stays, and what is aborted was aborted before.
    ("reference-transaction", "[ \"$1\" != committed ]", 0),
    ("reference-transaction", "[ \"$1\" != aborted ]", 0),
    ("pre-receive", "head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 1", 4),
    ("pre-receive", "yes 'a long story' | head -n 300000 >&2", 0),
    ("post-receive", "yes 'a long story' | head -n 300000; exit 1", 0),
    ("pre-receive", "printf '\\033[2J\\033]0;mine\\007\\rnothing was refused\\b\\n' >&2; exit 1", 4),
    ("update", "printf '\\033[2J\\302\\233\\342\\200\\256\\n' >&2; exit 1", 4),
    ("post-receive", "printf '\\033[2J\\033]0;mine\\007\\n' >&2", 0),
    (
        "pre-receive",
        "printf 'ok\\trefs/heads/main\\n'; printf '*\\tx:refs/heads/main\\t[new branch]\\nDone\\n' >&2; exit 1",
        4,
    ),
    ("post-update", "exit 1", 0),
];

#[track_caller]
fn assert_fit_for_a_terminal(text: &str) {
    let is_harmless = |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(text.chars().all(is_harmless), "{text:?}");
    assert!(text.len() <= ERROR_BYTES_MAX, "{} bytes: {}", text.len(), text.get(..200).unwrap_or_default());
}

fn under_each_hook(transport: Transport) {
    let fleet = Fleet::over(transport).founded();
    let hosts = [fleet.host("ada"), fleet.host_in_clone("bob")];
    for host in &hosts {
        host.run(["join", &fleet.hub().url(), "--as", host.name()]).success();
    }
    let say = |host: &Host| host.run(["message", "send", "--to", "all", "--subject", "hello"]);
    let commits = || inspect::log(fleet.hub(), MAIN).len();
    for (number, (hook, does, code)) in HOOKS.iter().enumerate() {
        // Over http a hub that ends itself takes its last words along.
        let dies_unheard = transport == Transport::Http && does.contains("prepared");
        let code = if dies_unheard { &9 } else { code };
        let host = &hosts[number % hosts.len()];
        fleet.hub().install_hook(hook, &format!("#!/bin/sh\n{does}\n"));
        let before = commits();
        let run = say(host);
        if run.exit_code() != Some(*code) {
            run.fail(&format!("{transport:?} {hook}: {does}: exit status {code} was expected"));
        }
        assert_fit_for_a_terminal(run.stderr());
        assert_eq!(commits(), before + usize::from(*code == 0), "{transport:?} {hook}: {does}");
        std::fs::remove_file(fleet.hub().path().join("hooks").join(hook)).unwrap();
        let unsettled = host.unsettled();
        let unsettled = unsettled.as_array().unwrap();
        assert_eq!(unsettled.len(), usize::from(dies_unheard), "{transport:?} {hook}: {does}");
        for entry in unsettled {
            host.run(["op", "resume", entry["op"].as_str().unwrap()]).success();
        }
        say(host).success();
    }
    inspect::assert_hub_is_sound(fleet.hub());
    inspect::assert_clone_is_clean(hosts[1].directory());
}

#[test]
fn hooks_are_obeyed_quoted_in_brief_and_never_trusted() {
    Transport::each(&HOOKED, under_each_hook);
}

#[test]
fn a_hook_of_the_users_own_is_not_told_as_a_rule_of_the_hub() {
    let fleet = Fleet::over(Transport::Path).founded();
    let mut hosts = [fleet.server("ada"), fleet.server_in_clone("bob")];
    let hooks = fleet.hub().path().with_file_name("of-the-user");
    let settings = fleet.hub().path().with_file_name("settings");
    std::fs::create_dir_all(&hooks).unwrap();
    std::fs::write(&settings, format!("[core]\n\thooksPath = {}\n", hooks.display())).unwrap();
    let hub = fleet.hub().path().display().to_string();
    for host in &mut hosts {
        let home = host.place("HOME").join(".gitconfig");
        host.set("GIT_CONFIG_GLOBAL", &home);
        for name in ["pre-receive", "update", "reference-transaction"] {
            let hook = hooks.join(name);
            std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
            std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::copy(&settings, &home).unwrap();
            let run = host.run(["job", "add", "--type", "x"]).code(4);
            assert!(run.stderr().contains("nothing was written"), "{name} {run}");
            assert!(run.stderr().contains("git config --show-origin core.hooksPath"), "{name} {run}");
            assert!(!run.stderr().contains("the hub's policy"), "{name} {run}");
            let json = host.run(["heartbeat", "--json"]).code(4);
            assert!(json.stderr().contains("\"own_setting\""), "{name} {json}");
            // Where the hub itself names the folder it is the hub's rule.
            std::fs::remove_file(&home).unwrap();
            fleet.hub().git(["config", "core.hooksPath", &hooks.display().to_string()]);
            let run = host.run(["job", "add", "--type", "x"]).code(4);
            assert!(run.stderr().contains("the hub's policy"), "{name} {run}");
            fleet.hub().git(["config", "--unset", "core.hooksPath"]);
            std::fs::remove_file(&hook).unwrap();
        }
        // What the hint says, done.
        std::fs::copy(&settings, &home).unwrap();
        let hook = hooks.join("update");
        std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let run = host.run(["job", "add", "--type", "x"]).code(4);
        let start = format!("git -C {hub} config");
        let line = run.stderr().split('`').find(|part| part.starts_with(&start)).unwrap();
        host.program("sh").args(["-c", line]).run().success();
        host.run(["job", "add", "--type", "x"]).success();
        fleet.hub().git(["config", "--unset", "core.hooksPath"]);
        std::fs::remove_file(&hook).unwrap();
    }
}
