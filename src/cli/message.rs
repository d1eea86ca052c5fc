//! `git muster message`: messages between servers.

use super::broken;
use super::context::Context;
use super::error::CliError;
use super::input::{self, ago};
use super::output::{clean, clean_lines};
use super::table::table;
use crate::app::commands::message::{MarkAs, MarkMessages, SendMessage};
use crate::app::queries::messages::{Inbox, ListMessages, MessageFilter, Thread};
use crate::domain::code::Code;
use crate::domain::id::{MessageId, ServerName};
use crate::domain::message::{AckStatus, BODY_LENGTH_MAX, Draft, Message, MessageType};
use crate::domain::record::Record;
use crate::domain::time::Timestamp;
use crate::machine::outlet;
use clap::{Args, Subcommand};
use serde_json::json;

/// No character of UTF-8 has more bytes than this.
const CHARACTER_BYTES_MAX: u64 = 4;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster message send --to build2 --type request --subject 'retry it' --ack
  tail -n 20 log | git muster message send --to all --subject failed --body -
  git muster message send --to b1 --reply-to msg_1_2531 --subject s --body @file")]
pub struct SendArgs {
    /// Recipient: a server, or all
    #[arg(long, value_name = "NAME|all")]
    pub to: String,
    /// Type of the message
    #[arg(long = "type", value_name = "TYPE", default_value = "info", value_parser = super::choices::message_type())]
    pub kind: MessageType,
    /// Subject: one line of at most 100 characters
    #[arg(long)]
    pub subject: String,
    /// Body, at most 10,000 characters; - for stdin, @FILE for a file
    #[arg(long, value_name = "TEXT|-|@FILE", default_value = "", hide_default_value = true)]
    pub body: String,
    /// Message to reply to
    #[arg(long, value_name = "ID")]
    pub reply_to: Option<MessageId>,
    /// Ask the recipients for an acknowledgment
    #[arg(long)]
    pub ack: bool,
    /// Idempotency key: if a message of this server has this key, send nothing
    #[arg(long)]
    pub key: Option<String>,
    /// Mark the message as automatic; automatic messages are not answered by automatic messages
    #[arg(long)]
    pub auto: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster message list --unread
  git muster message list --to all --from build2 --json")]
pub struct ListArgs {
    /// Only messages that this server has not read
    #[arg(long)]
    pub unread: bool,
    /// Only messages from this server
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,
    /// Only messages to this server, or to all
    #[arg(long, value_name = "NAME|all")]
    pub to: Option<String>,
}

/// The verbs of `message`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum MessageCommand {
    /// Send a message
    Send(SendArgs),
    /// List messages
    #[command(alias = "ls")]
    List(ListArgs),
    /// Print messages and mark them as read by this server; without ids, all unread ones
    #[command(after_help = "Examples:
  git muster message read
  git muster message read msg_1761_2531
  git muster message read >/dev/null     # mark all as read

A message that could not be printed is not marked, even if standard output is closed. A program \
that only wants to mark messages must open /dev/null for writing, as a shell does.")]
    Read {
        /// Message ids
        #[arg(value_name = "ID")]
        ids: Vec<MessageId>,
    },
    /// Acknowledge messages on behalf of this server
    #[command(after_help = "Example:\n  git muster message ack msg_1761_2531")]
    Ack {
        /// Message ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<MessageId>,
    },
    /// Show the thread of a message
    #[command(after_help = "Example:\n  git muster message thread msg_1761_2531")]
    Thread {
        /// Any message of the thread
        #[arg(value_name = "ID")]
        id: MessageId,
    },
}

/// A verb of `message`.
///
/// # Errors
/// When the message is refused or the hub cannot be used.
pub(super) fn run(command: &MessageCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        MessageCommand::Send(args) => send(args, context),
        MessageCommand::List(args) => list(args, context),
        MessageCommand::Read { ids } => read(ids, context),
        MessageCommand::Ack { ids } => {
            let (server, which) = (context.acting()?, Vec::new());
            let verb = MarkMessages { server, ids: ids.clone(), which, mark: MarkAs::Acknowledged };
            let changed = context.write(&verb)?.answer;
            context.output.confirm("messages_acknowledged", &json!({"ids": ids, "changed": changed}), || {
                ids.iter().map(|id| format!("{id} is acknowledged\n")).collect()
            })
        }
        MessageCommand::Thread { id } => thread(id, context),
    }
}

fn send(args: &SendArgs, context: &mut Context) -> Result<(), CliError> {
    let limit = u64::try_from(BODY_LENGTH_MAX).unwrap_or(u64::MAX).saturating_mul(CHARACTER_BYTES_MAX);
    let draft = Draft {
        from: context.acting()?,
        to: args.to.clone(),
        kind: args.kind,
        subject: args.subject.clone(),
        body: input::text(&args.body, limit)?,
        reply_to: args.reply_to.clone(),
        ack: args.ack,
        key: args.key.clone(),
        auto: args.auto,
    };
    let receipt = context.write_to_deliver(&SendMessage { draft })?;
    let sent = &receipt.answer;
    if sent.duplicate {
        context.output.say("a message with this key was already sent");
    }
    context.deliver_once(&receipt, |output| output.answer("message_sent", sent, || sent.id.clone()))
}

fn list(args: &ListArgs, context: &mut Context) -> Result<(), CliError> {
    let me = if args.unread {
        Some(context.me()?)
    } else {
        context.settings.server.as_ref().map(|me| me.value.clone())
    };
    let now = context.now();
    let filter = MessageFilter {
        from: args.from.clone(),
        to: args.to.clone(),
        unread_by: me.clone().filter(|_| args.unread),
    };
    let found = context.ask(&ListMessages { filter })?;
    let (messages, unreadable) = (&found.items, &found.unreadable);
    let output = context.output;
    broken::tell_left_out(&found.left_out, output);
    let values = messages.iter().map(|message| message.raw());
    let values = values.chain(unreadable.iter().map(|one| one.shown.clone()));
    output.list("message", values, || {
        if messages.is_empty() && unreadable.is_empty() {
            let only_unread = args.unread && args.from.is_none() && args.to.is_none();
            output.say(if only_unread { "no unread messages" } else { "no messages" });
            return String::new();
        }
        let rows: Vec<Vec<String>> = messages
            .iter()
            .map(|message| row(message, me.as_ref(), now))
            .chain(unreadable.iter().map(|one| {
                let [from, to, kind] = ["from", "to", "type"].map(|name| broken::column(&one.shown, name));
                broken::row(&one.trouble, &[from, to, kind, "-".to_owned(), "unreadable".to_owned()])
            }))
            .collect();
        table(&["MESSAGE", "FROM", "TO", "TYPE", "SENT", "STATE", "SUBJECT"], &rows)
    })
}

fn row(message: &Message, me: Option<&ServerName>, now: Timestamp) -> Vec<String> {
    let state = match me {
        Some(me) if message.needs_ack_from(me) => "wants ack",
        Some(me) if message.is_for(me) && !message.is_read_by(me) => "unread",
        Some(me) if message.from == me.as_str() => answered(message),
        _ => "-",
    };
    vec![
        message.id.clone(),
        message.from.clone(),
        message.to.clone(),
        message.kind.clone(),
        ago(message.timestamp, now),
        state.to_owned(),
        message.subject.clone(),
    ]
}

/// How far a message got, for its sender.
fn answered(message: &Message) -> &'static str {
    match (message.ack_required, message.acknowledged_by.len(), message.read_by.len()) {
        _ if message.ack_status.as_deref() == Some(AckStatus::Completed.as_str()) => "acknowledged",
        (Some(true), 0, 0) => "no ack yet",
        (Some(true), 0, _) => "read, no ack",
        (Some(true), _, _) => "some acks",
        _ if message.read == Some(true) => "read",
        (_, _, 0) => "not read",
        _ => "read by some",
    }
}

fn read(ids: &[MessageId], context: &mut Context) -> Result<(), CliError> {
    let me = context.acting()?;
    let (now, output) = (context.now(), context.output);
    let opened = context.ask(&Inbox { server: me, ids: ids.to_vec() })?;
    broken::tell_left_out(&opened.left_out, output);
    // First the answer, and only what was delivered is marked: what is lost on the way comes again.
    show(&opened.messages, now, context).map_err(not_marked)?;
    if let Some(marks) = opened.marks() {
        if outlet::is_missing() {
            return Err(no_outlet());
        }
        let marked = context.write_to_deliver(&marks).map_err(shown_and_not_marked)?;
        context.delivered(&marked);
    }
    Ok(())
}

/// The answer did not reach anybody.
fn not_marked(error: CliError) -> CliError {
    let error = error.undelivered();
    let message = format!("{}; nothing was marked as read", error.message);
    CliError { message, ..error }.hint("print the messages again with `git muster message read`")
}

/// It had nowhere to go, which no error of the system tells.
fn no_outlet() -> CliError {
    not_marked(CliError::new(Code::AnswerUndelivered, "cannot write the result: stdout is closed"))
        .hint("mark them without printing them with `git muster message read >/dev/null`")
}

/// It did, and the hub does not know.
fn shown_and_not_marked(error: CliError) -> CliError {
    let message = format!("the messages were printed, but not marked as read: {}", error.message);
    CliError { message, ..error }
}

fn thread(id: &MessageId, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let said = context.ask(&Thread { id: id.clone() })?;
    show(&said.messages, now, context)
}

fn show(messages: &[Record<Message>], now: Timestamp, context: &Context) -> Result<(), CliError> {
    let output = context.output;
    output.list("message", messages.iter().map(Record::raw), || {
        if messages.is_empty() {
            output.say("no unread messages");
        }
        messages.iter().map(|message| whole(message, now)).collect::<Vec<_>>().join("\n")
    })
}

pub(super) fn whole(message: &Message, now: Timestamp) -> String {
    let head = format!(
        "{}  {} -> {}  {}  {}",
        message.id,
        message.from,
        message.to,
        message.kind,
        ago(message.timestamp, now)
    );
    let body = clean_lines(&message.body);
    let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let marks = [("read by", &message.read_by), ("acknowledged by", &message.acknowledged_by)];
    let marks: String = marks
        .into_iter()
        .filter(|(_, by)| !by.is_empty())
        .map(|(what, by)| {
            let names: Vec<String> = by.iter().map(|mark| clean(&mark.by)).collect();
            format!("  {what} {}\n", names.join(", "))
        })
        .collect();
    format!("{}\n  {}\n{indented}{marks}", clean(&head), clean(&message.subject))
}
