//! What TAB does in real shells, as `git-muster` and as `git muster`.
//!
//! Bash and zsh run at a terminal that zsh makes (`zpty`), where the keys of a person are pressed; fish is
//! asked by its own `complete -C`.

use std::fs;
use std::path::Path;

use crate::support::{Fleet, Host, need};

/// Starts a shell, has it read a file, types each line with a TAB behind it, and shows the words that came
/// of it: the line becomes the arguments of `show`.
const DRIVER: &str = r#"
zmodload zsh/zpty
expect() { local got; zpty -r shell got "*$1*" || { print -r -- "the shell ended: $got"; exit 1 }; REPLY=$got }
zpty shell $1
zpty -w shell "source $2; echo READ''Y"
expect READY
n=0
for typed in "${@:3}"; do
  ((n += 1))
  zpty -w -n shell "$typed"$'\t\C-a'"show $n "$'\C-e\n'
  expect "<end $n>"
  print -r -- "$REPLY"
done
"#;

const SHOW: &str = r#"
PS1='$ '
show() { printf '<%s>' "${@:2}"; printf '<en%s %s>\n' d "$1"; }
"#;

/// Where Debian and its relatives have git's own completion for bash: with git itself.
const GITS_FOR_BASH: &str = "/usr/share/bash-completion/completions/git";

/// A host whose hub has something of each kind, and which finds git-muster by its name.
fn host(fleet: &Fleet) -> (Host, Live) {
    let mut ada = fleet.server("ada");
    let bin = Path::new(env!("CARGO_BIN_EXE_git-muster")).parent().unwrap().display();
    ada.set("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
    ada.set("TERM", "dumb");
    let _other = fleet.server("build-7");
    let said = |arguments: &[&str]| ada.run(arguments).success().stdout().trim().to_owned();
    let live = Live {
        job: said(&["job", "add", "--", "true"]),
        message: said(&["message", "send", "--to", "ada", "--subject", "s"]),
    };
    said(&["lock", "acquire", "deploy"]);
    (ada, live)
}

/// Names that only this hub has.
struct Live {
    job: String,
    message: String,
}

impl Live {
    /// What is typed behind the name of the program, and the last word that a TAB makes of it.
    fn cases(&self) -> Vec<(String, &str)> {
        let begin = |id: &str| id[..id.len() - 2].to_owned();
        let typed = |words: &str| words.to_owned();
        vec![
            (typed("heartb"), "heartbeat"),
            (typed("job cla"), "claim"),
            (typed("job list --stat"), "--status"),
            (typed("job list --status de"), "dead"),
            (typed("job add --if-need-fails canc"), "cancel"),
            (typed("servers show build"), "build-7"),
            (typed("message send --to build"), "build-7"),
            (typed("lock renew depl"), "deploy"),
            (format!("job show {}", begin(&self.job)), &self.job),
            (format!("message ack {}", begin(&self.message)), &self.message),
        ]
    }

    /// The same as whole lines in both spellings, each with the words that come of it.
    fn lines(&self) -> Vec<(String, Vec<String>)> {
        let spellings = ["git-muster", "git muster"];
        let lines = spellings.iter().flat_map(|name| {
            self.cases().into_iter().map(move |(typed, last)| (format!("{name} {typed}"), last.to_owned()))
        });
        let whole = lines.chain([("git must".to_owned(), "muster".to_owned())]);
        whole
            .map(|(line, last)| {
                let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                words.pop();
                words.push(last);
                (line, words)
            })
            .collect()
    }
}

/// Presses TAB in a shell that is started and set up like this.
fn press(shell: &str, set_up: &str) {
    let fleet = Fleet::new().founded();
    let (ada, live) = host(&fleet);
    let home = ada.place("HOME");
    fs::write(home.join("driver"), DRIVER).unwrap();
    fs::write(home.join("set-up"), format!("{SHOW}{set_up}")).unwrap();
    let lines = live.lines();
    let typed = lines.iter().map(|(line, _)| line.as_str());
    let arguments = ["-f", "driver", shell, "./set-up"].into_iter().chain(typed);
    let run = ada.program("zsh").args(arguments).current_dir(&home).run().success();
    let screen = run.stdout().replace('\r', "");
    for (number, (line, words)) in lines.iter().enumerate() {
        let expected = format!("<{}><end {}>", words.join("><"), number + 1);
        assert!(screen.contains(&expected), "`{line}` did not become {expected}:\n{screen}");
    }
}

#[test]
fn bash_completes_nouns_verbs_options_values_and_live_names() {
    let there = need::is_here(&["zsh"]);
    if there && need::has(Path::new(GITS_FOR_BASH).exists(), "apt-get install git") {
        let set_up = format!(
            "bind 'set enable-bracketed-paste off'\n. {GITS_FOR_BASH}\n. <(git-muster completions bash)\n"
        );
        press("bash --norc --noprofile -i", &set_up);
    }
}

#[test]
fn zsh_completes_nouns_verbs_options_values_and_live_names() {
    if need::is_here(&["zsh"]) {
        press(
            "zsh -f -i",
            "unset zle_bracketed_paste\ngit-muster completions zsh >_git-muster\nfpath=($PWD $fpath)\n\
             autoload -Uz compinit\ncompinit -u -D\n",
        );
    }
}

#[test]
fn fish_completes_nouns_verbs_options_values_and_live_names() {
    if !need::is_here(&["fish"]) {
        return;
    }
    let fleet = Fleet::new().founded();
    let (ada, live) = host(&fleet);
    for (line, words) in live.lines() {
        let script = format!("git-muster completions fish | source; complete -C '{line}'");
        let run = ada.program("fish").args(["--no-config", "-c", &script]).run().success();
        let candidates: Vec<&str> = run.stdout().lines().filter_map(|told| told.split('\t').next()).collect();
        assert_eq!(candidates, [words.last().unwrap()], "{line}: {run}");
    }
}

#[test]
fn what_is_completed_asks_no_hub_over_a_connection() {
    let fleet = Fleet::new().founded();
    let (mut ada, _) = host(&fleet);
    // Nothing is known of this hub, and nobody answers there.
    ada.set("MUSTER_HUB", "ssh://nobody.invalid/hub.git");
    ada.set("GIT_SSH_COMMAND", format!("touch {}/asked; false", ada.place("HOME").display()));
    let run = ada.run(["complete", "--", "servers", "show", ""]).success();
    assert_eq!(run.stdout(), "", "{run}");
    assert!(!ada.place("HOME").join("asked").exists());
}
