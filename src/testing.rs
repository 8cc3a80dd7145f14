//! Exports for tests, benchmarks, examples and fuzz targets outside of the crate. Modules are
//! private, so that the compiler reports unused items; only `main` and these exports are public.

pub mod ansible {
    pub use crate::engine::ansible::{brief, failure, matched_no_hosts};
}
pub mod engine {
    pub use crate::engine::{BuildContext, BuildError, Goal, Interactive, SshAccess, build};
    pub mod checks {
        pub use crate::engine::played;
        pub use crate::model::check::SCRIPTS;
    }
    pub mod console {
        pub use crate::engine::console::{host_keys, tail, trouble};
    }
    pub mod tidy {
        pub use crate::engine::tidy::script;
    }
}
pub mod build_vars {
    pub use crate::frontend::build_vars::Doubts;
    pub use crate::frontend::{Loaded, load};
    pub use crate::model::check::CHECKS;
    pub use crate::model::definition::{Asks, TIDY_ASKED, TIDY_PARTS};
}
pub mod cancel {
    pub use crate::system::cancel::Cancel;
}
pub mod cli {
    pub mod show {
        pub use crate::cli::show::{Progress, Terminal, sink};
    }
}
pub mod provider {
    pub use crate::provider::{
        BootSpec, CloudError, Machine, MachinePlacement, Power, Provider, RunCx,
    };
    pub mod contract {
        pub use crate::provider::contract::{check, copies};
    }
    pub mod ledger {
        pub use crate::provider::ledger::{Entry, Kind, Ledger};
    }
    pub mod qemu {
        pub use crate::provider::qemu::{Accel, Local, LocalConfig};
    }
    pub mod fake {
        pub use crate::provider::fake::Memory;
    }
    pub mod openstack {
        pub use crate::provider::openstack::{Config, OpenStack};
        pub mod login {
            pub use crate::provider::openstack::login::{Places, login};
        }
    }
}
pub mod diagnostic {
    pub use crate::model::diagnostic::Diagnostic;
}
pub mod digest {
    pub use crate::model::digest::{Algorithm, Digest};
    pub use crate::system::digest::Hasher;
}
pub mod disk {
    pub use crate::model::format::Format;
    pub use crate::system::disk::{LARGEST, inspect, space};
}
pub mod event {
    pub use crate::model::event::{
        Check, Event, Events, FinishedImage, Sink, Stage, Stamped, Verdict, seconds,
    };
}
pub mod outcome {
    pub use crate::model::outcome::Outcome;
}
pub mod fetch {
    pub use crate::fetch::{
        Fetch, FetchError, Fetched, RetryPolicy, SumsError, TransferContext, find_sum,
    };
    pub use crate::model::source::{ChecksumSource, Download};
    pub use crate::model::source_uri::SourceUri;
}
pub mod http {
    pub use crate::system::http::Proxies;
}
pub mod image {
    pub use crate::model::image::{Image, RUN, Visibility};
}
pub mod log {
    pub use crate::log::{EventFile, LogFile, Recorder};
    pub mod sentences {
        pub use crate::log::sentences::{final_line, shown};
    }
}
pub mod report {
    pub use crate::report::Renderer;
}
pub mod plan {
    pub use crate::model::facts::{BaseLookup, FactsQuery, Named};
    pub use crate::model::placement::{Placement, Security, VolumePlan};
    pub use crate::model::publication::Publication;
    pub use crate::model::step::StepKind;
    pub use crate::plan::{MachinePlan, Origin, Plan, StepPlan, TimeoutPlan};
}
pub mod guest {
    pub use crate::guest::{
        Command, Connect, Exit, OnOutput, OnProgress, Remote, RemoteError, Stream, Target, Transfer,
    };
    pub mod keys {
        pub use crate::guest::keys::{generate_key, known_hosts_line, private_text};
    }
    pub mod ssh {
        pub use crate::guest::ssh::{Ssh, output_of};
    }
}
pub mod run {
    pub use crate::engine::run_dir::Home;
    pub use crate::jobs::{Factory, RunError, RunHandle, RunOptions, RunOutcome, RunRequest};
}
pub mod settings {
    pub use crate::settings::Settings;
}
pub mod wall {
    pub use crate::wall::{Config, Wall};
}
