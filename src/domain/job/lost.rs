//! Taking a job from a holder who is lost or late, under the token of its claim.

use super::{FailReason, Job};
use crate::domain::id::OpId;
use crate::domain::refusal::{Action, Refusal};
use crate::domain::time::Timestamp;

impl Job {
    /// Somebody takes the job from a holder who is lost or late.
    ///
    /// # Errors
    /// When nobody holds it, or under another token.
    pub fn rescue(&mut self, token: u64, reason: FailReason, at: (Timestamp, &OpId)) -> Result<(), Refusal> {
        if !self.is_held_under(token) {
            return Err(self.term_over(token, Action::ReclaimJob));
        }
        self.end_attempt(reason, at.0, at.1);
        Ok(())
    }

    /// An operator, who knows that its holder is lost, takes the job from it: that costs no attempt
    /// and needs no pause.
    ///
    /// # Errors
    /// When nobody holds it, or under another token.
    pub fn requeue(&mut self, token: u64, why: &str) -> Result<(), Refusal> {
        if !self.is_held_under(token) {
            return Err(self.term_over(token, Action::RequeueJob));
        }
        self.attempts = Some(self.attempts.unwrap_or(1).saturating_sub(1));
        self.incarnation = None;
        self.reason = Some(FailReason::Lost.as_str().to_owned());
        self.error_message = Some(why.to_owned());
        self.back_to_queue(None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Class;
    use crate::domain::job::JobStatus;

    #[test]
    fn what_an_operator_takes_from_its_holder_costs_no_attempt() {
        for (attempts, left) in [("null", 0), ("1", 0), ("3", 2)] {
            let text = format!(
                r#"{{"id":"job_1","status":"running","token":3,"assigned_to":"build1","incarnation":"i","attempts":{attempts}}}"#
            );
            let mut job: Job = serde_json::from_str(&text).expect("a job");
            let before = job.clone();
            let late = job.requeue(2, "it burned down").map_err(|no| no.class());
            assert_eq!((late, &job), (Err(Class::LeaseLost), &before), "{attempts}");
            job.requeue(3, "it burned down").expect("its token");
            assert!(job.was_requeued(3, "it burned down"), "{job:?}");
            assert_eq!((&job.status, job.attempts), (&JobStatus::Queued, Some(left)));
            assert_eq!((job.assigned_to, job.incarnation, job.not_before), (None, None, None));
        }
    }
}
