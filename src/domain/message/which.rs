//! Which of several messages: hubs hold some with one id, and some with none.

use super::Message;
use serde::{Deserialize, Serialize};

/// Names one message by its id and by what was sent, which nobody changes afterwards: who marks it
/// as read names by this what was shown, wherever it stands by then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageRef {
    /// Its id; may be empty.
    pub id: String,
    /// A checksum of what was sent.
    pub sent: String,
}

impl MessageRef {
    /// This one.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let at = message.timestamp.map_or_else(String::new, |at| at.unix_millis().to_string());
        let parts = [&message.from, &message.to, &message.kind, &at, &message.subject, &message.body];
        let sent = parts.into_iter().fold(CHECKSUM_FIRST, |sum, part| checksum(sum, part));
        Self { id: message.id.clone(), sent: format!("{sent:016x}") }
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, message: &Message) -> bool {
        self.id == message.id && *self == Self::of(message)
    }
}

/// The checksum of nothing, and what each byte multiplies it by: FNV-1a with 64 bits. It tells apart
/// what has one id by accident; nothing is trusted for its sake.
const CHECKSUM_FIRST: u64 = 0xcbf2_9ce4_8422_2325;
const CHECKSUM_PRIME: u64 = 0x0100_0000_01b3;

fn checksum(sum: u64, part: &str) -> u64 {
    // A byte that no text holds ends each part.
    let bytes = part.bytes().chain([0xff]);
    bytes.fold(sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(CHECKSUM_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_tells_messages_with_one_id_apart_and_who_read_them_does_not() {
        let of = |text: &str| serde_json::from_str::<Message>(text).expect(text);
        let first = of(r#"{"id":"msg_1","from":"code2","to":"build1","body":"x"}"#);
        let which = MessageRef::of(&first);
        for (other, is_it) in [
            (
                r#"{"id":"msg_1","from":"code2","to":"build1","body":"x","read":true,"read_by":["build1"]}"#,
                true,
            ),
            (r#"{"id":"msg_1","from":"build2","to":"code2","body":"x"}"#, false),
            (r#"{"id":"msg_1","from":"code2","to":"build1","body":"y"}"#, false),
            (r#"{"id":"msg_1","from":"code2","to":"build1","subject":"x"}"#, false),
            (r#"{"id":"","from":"code2","to":"build1","body":"x"}"#, false),
        ] {
            assert_eq!(which.is(&of(other)), is_it, "{other}");
        }
    }
}
