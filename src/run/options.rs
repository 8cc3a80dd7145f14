//! What a run needs from its caller.
use super::home::Home;
use crate::engine::Interactive;
use crate::guest::Connect;
use crate::model::event::Sink;
use crate::plan::Purpose;
use crate::provider::Provider;
use crate::report;
use crate::system::cancel::Cancel;
use crate::system::http::Proxies;
use crate::wall::Wall;

pub type Show<'a> = dyn Fn(&str) -> Box<dyn Sink> + Send + Sync + 'a;

/// What a run needs from its caller.
pub struct RunOptions<'a> {
    pub cloud: &'a dyn Provider,
    pub connect: &'a dyn Connect,
    pub wall: &'a Wall,
    /// By which downloads come.
    pub proxies: &'a Proxies,
    pub home: &'a Home,
    pub cancel: &'a Cancel,
    /// Makes the sink that shows a run to the person who started it, from the bundle's label.
    pub show: &'a Show<'a>,
    pub keep_on_failure: bool,
    /// Test captured images before they are published.
    pub smoke: bool,
    /// Have rendered Heat templates checked by the cloud's Heat.
    pub check_templates: bool,
    pub templates: &'a report::Renderer,
    /// Nothing is built: the base is what is tested.
    pub test_only: bool,
    /// Set for `shell`.
    pub person: Option<&'a dyn Interactive>,
}

impl RunOptions<'_> {
    pub(super) fn purpose(&self) -> Purpose {
        match self.person {
            _ if self.test_only => Purpose::Test { smoke: self.smoke },
            // What is looked at is the builder: nothing is captured that could be tested.
            Some(_) => Purpose::Visit,
            None => Purpose::Build { smoke: self.smoke },
        }
    }
}
