//! Which hub a command is with, and under which name this host keeps what it keeps of it.

use super::Context;
use crate::app::client::Client;
use crate::app::session::SessionKey;
use crate::app::submit::HubRef;
use crate::cli::error::CliError;
use crate::domain::id::ServerName;
use crate::git::hubs;

impl Context {
    /// The hub and its branch, with the name under which this host keeps what it keeps of them. A hub of
    /// which nothing is known yet is asked.
    ///
    /// # Errors
    /// When nothing names a hub, or it cannot be asked.
    pub(in crate::cli) fn place(&mut self) -> Result<HubRef, CliError> {
        self.place_asked(false)
    }

    /// The same for who goes on there for long: what is known may be of another hub, which was in its place for
    /// a while. One that cannot be asked is the one that is known.
    ///
    /// # Errors
    /// As [`Context::place`].
    pub(in crate::cli) fn place_to_stay(&mut self) -> Result<HubRef, CliError> {
        self.place_asked(true)
    }

    /// Whether what is known of the hub is what it had when its place was asked for.
    pub(in crate::cli) fn is_read(&self) -> bool {
        !self.is_place_remembered
    }

    fn place_asked(&mut self, anew: bool) -> Result<HubRef, CliError> {
        self.settle_branch()?;
        let (hub, branch) = (self.settings.hub()?.as_text(), self.settings.branch.value.clone());
        let is_sure = !anew && !self.is_place_remembered;
        let is_it = |place: &&HubRef| (&place.hub, &place.branch) == (&hub, &branch);
        if let Some(place) = self.client.as_ref().and_then(Client::place).filter(is_it).filter(|_| is_sure) {
            return Ok(place.clone());
        }
        let at = |name| HubRef { hub: hub.clone(), branch: branch.clone(), name };
        let ledger = self.ledger()?;
        if anew || ledger.known_tip().is_none() {
            // Whoever stays goes on from what this reads.
            let asked = ledger.read(anew).map(drop);
            let is_known = ledger.known_tip().is_some();
            self.pass_on_notes();
            if let Err(error) = asked
                && !is_known
            {
                let (hub, clone) = (self.settings.hub()?, self.settings.clone.as_deref());
                let remembered = hubs::remembered_name(hub, clone);
                let error = self.with_advice(CliError::from(error));
                let place = remembered.filter(|_| error.may_come_back).map(at).ok_or(error)?;
                self.client()?.settle(place.clone());
                // It is asked again, as another may be there by then.
                self.is_place_remembered = true;
                return Ok(place);
            }
        }
        let place = at(hubs::name_of(self.settings.hub()?, self.settings.clone.as_deref(), &branch));
        self.client()?.settle(place.clone());
        self.is_place_remembered = false;
        Ok(place)
    }

    /// Whose session `server` has in this hub.
    ///
    /// # Errors
    /// As [`Context::place`].
    pub(in crate::cli) fn whose(&mut self, server: &ServerName) -> Result<SessionKey, CliError> {
        let place = self.place()?;
        Ok(place.whose(&self.machine, server))
    }
}
