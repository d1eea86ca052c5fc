//! That each refusal has its words, and what some of them are.

use super::*;
use crate::domain::code::Code;
use crate::domain::refusal::tests::samples;

fn of(code: Code) -> String {
    let refusal = samples().into_iter().find(|refusal| refusal.code() == code).expect("one of each");
    sentence(&refusal)
}

#[test]
fn each_refusal_has_a_sentence_and_at_most_a_hint() {
    for refusal in samples() {
        let (code, sentence, hint) = (refusal.code(), sentence(&refusal), hint(&refusal));
        for words in hint.iter().chain([&sentence]) {
            assert!(!words.is_empty() && !words.ends_with('.') && !words.contains('\n'), "{code}: {words}");
            assert_eq!(words.matches('`').count() % 2, 0, "{code}: {words}");
        }
    }
}

#[test]
fn it_is_known_which_sentences_say_that_nothing_was_written() {
    for refusal in samples() {
        let is_said = sentence(&refusal).contains("nothing was written");
        assert_eq!(says_unwritten(&refusal), is_said, "{}", refusal.code());
    }
}

#[test]
fn a_sentence_says_who_holds_a_lock_and_why_a_token_is_not_valid() {
    for (code, expected) in [
        (
            Code::LockHeld,
            "lock `deploy` is held by `build1` (build1 pid 1) since 2025-10-29T11:59:55Z (5s ago)",
        ),
        (
            Code::TokenSuperseded,
            "lock `deploy` was not renewed: token 1 is from an earlier term, `build2` holds it under token 2",
        ),
        (
            Code::TokenEnded,
            "lock `deploy` was not renewed: the term of token 2 is over, `build2` holds it under token 2",
        ),
        (
            Code::TokenNeverIssued,
            "lock `deploy` was not renewed: token 3 was never given, `build2` holds it under token 2",
        ),
        (
            Code::LockConditionFailed,
            "lock `deploy` is not held under token 3: token 3 was never given, nobody ever held it",
        ),
    ] {
        assert_eq!(of(code), expected);
    }
}

#[test]
fn what_a_hub_holds_is_counted() {
    assert_eq!(
        of(Code::HubInUse),
        "nothing was imported: the hub is in use, it holds 2 jobs, 1 held lock and 2 marks of what was done once"
    );
}
