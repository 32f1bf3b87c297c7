//! Profiles: where runs spend their time.

use super::functions::Function;
use super::state::Engine;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec};
use crate::script::Sha1;
use crate::vm::{Profile, ProfileTarget};

register!(ERRORS: PROFILE_ON: ErrorSpec = ErrorSpec::module(
    "ERR",
    "a profile is on already, STOP ends it",
    "`LUA.PROFILE START` is called while a profile is on.",
));
register!(ERRORS: NO_PROFILE_ON: ErrorSpec = ErrorSpec::module(
    "ERR",
    "no profile is on, START begins one",
    "`LUA.PROFILE STOP` is called while no profile is on.",
));
register!(ERRORS: NO_PROFILE: ErrorSpec = ErrorSpec::module(
    "ERR",
    "there is no profile, START begins one",
    "`LUA.PROFILE GET` is called before the first profile.",
));
register!(ERRORS: NO_PROFILE_TARGET: ErrorSpec = ErrorSpec::module(
    "ERR",
    "no script or function of that name",
    "`LUA.PROFILE START` is given what is neither the digest nor the name of a cached script, nor the name of a function.",
));

impl Engine {
    /// Begins a profile of all runs, or of those of one script or function; what an earlier one counted goes.
    ///
    /// # Errors
    /// One is on, or there is no such script or function.
    pub fn begin_profile(&self, name: Option<&[u8]>) -> Result<(), ErrorReply> {
        let target = match name {
            None => ProfileTarget::All,
            Some(name) => self
                .profile_target(name)
                .ok_or_else(|| ErrorReply::new(&NO_PROFILE_TARGET, self.dialect))?,
        };
        match self.ticker.begin_profile(target) {
            true => Ok(()),
            false => Err(ErrorReply::new(&PROFILE_ON, self.dialect)),
        }
    }

    /// Ends the profile, which is kept until the next one begins.
    ///
    /// # Errors
    /// None is on.
    pub fn end_profile(&self) -> Result<(), ErrorReply> {
        match self.ticker.end_profile() {
            true => Ok(()),
            false => Err(ErrorReply::new(&NO_PROFILE_ON, self.dialect)),
        }
    }

    /// Gives the profile that is on or was on last to `read`.
    ///
    /// # Errors
    /// There was none.
    pub fn read_profile<T>(&self, read: impl FnOnce(&Profile) -> T) -> Result<T, ErrorReply> {
        self.ticker
            .profiler()
            .read(|profile| profile.map(read))
            .ok_or_else(|| ErrorReply::new(&NO_PROFILE, self.dialect))
    }

    /// The script or function that goes by `name`.
    fn profile_target(&self, name: &[u8]) -> Option<ProfileTarget> {
        let function = |(_, function): (&_, &Function)| function.name.clone();
        let script = Sha1::from_hex(name).filter(|_| self.exists(name));
        let script = script.or_else(|| self.scripts().named(name));
        script
            .map(ProfileTarget::Script)
            .or_else(|| self.libraries().find(name).map(function).map(ProfileTarget::Function))
    }
}
