//! Vendor profiles of openstacksdk 4.22 (`profile: NAME`): URLs and regions. Omits settings for
//! other clients.
use super::settings::{Map, Origin, Setting, Value};

pub struct Vendor {
    name: &'static str,
    auth_url: &'static str,
    /// The first is the default.
    regions: &'static [&'static str],
    /// The vendor has no other region; an entry may still name one.
    single: bool,
    /// Users and projects are in the domain `Default`.
    default_domain: bool,
    note: Note,
}

enum Note {
    Nothing,
    /// The cloud no longer exists.
    Gone(&'static str),
    /// Warning for the user.
    Warning(&'static str),
    /// openstacksdk fetches the rest from this address.
    Fetched(&'static str),
}

/// A usable vendor profile, or the reason why there is none.
pub enum Known {
    Profile { map: Map, warning: Option<String> },
    Refused(String),
}

const fn at(
    name: &'static str,
    auth_url: &'static str,
    regions: &'static [&'static str],
) -> Vendor {
    Vendor { name, auth_url, regions, single: false, default_domain: false, note: Note::Nothing }
}

const fn single(
    name: &'static str,
    auth_url: &'static str,
    region: &'static [&'static str],
) -> Vendor {
    Vendor { single: true, ..at(name, auth_url, region) }
}

const fn gone(name: &'static str, why: &'static str) -> Vendor {
    Vendor { note: Note::Gone(why), ..at(name, "", &[]) }
}

const fn fetched(name: &'static str, from: &'static str) -> Vendor {
    Vendor { note: Note::Fetched(from), ..at(name, "", &[]) }
}

const VENDORS: &[Vendor] = &[
    Vendor {
        default_domain: true,
        ..single("auro", "https://api.van2.auro.io:5000/v3", &["RegionOne"])
    },
    gone("betacloud", "betacloud.de has ceased business"),
    at("binero", "https://auth.binero.cloud:5000/v3", &["europe-se-1"]),
    single("bluebox", "", &["RegionOne"]),
    at("catalyst", "https://api.cloud.catalyst.net.nz:5000/v2.0", &["nz-por-1", "nz_wlg_2"]),
    at(
        "citycloud",
        "https://{region_name}.citycloud.com:5000/v3/",
        &["Buf1", "Fra1", "Sto2", "Kna1", "dx1", "tky1"],
    ),
    at("conoha", "https://identity.{region_name}.conoha.io", &["sin1", "sjc1", "tyo1"]),
    single("dreamcompute", "https://iad2.dream.io:5000", &["RegionOne"]),
    single("elastx", "https://ops.elastx.cloud:5000/v3", &["se-sto"]),
    at("entercloudsuite", "https://api.entercloudsuite.com/", &["it-mil1", "nl-ams1", "de-fra1"]),
    Vendor {
        default_domain: true,
        note: Note::Warning("the cloud no longer answers"),
        ..at("fuga", "https://identity.api.fuga.io:5000", &["cystack"])
    },
    gone("ibmcloud", "it no longer answers"),
    gone("internap", "Internap is HorizonIQ now"),
    at("limestonenetworks", "https://auth.cloud.lstn.net:5000/v3", &["us-dfw-1", "us-slc"]),
    at("otc", "https://iam.{region_name}.otc.t-systems.com/v3", &["eu-de", "eu-nl"]),
    at("otc-swiss", "iam-pub.eu-ch2.sc.otc.t-systems.com/v3", &["eu-ch2"]),
    fetched("ovh", "https://ovhcloud.com"),
    Vendor {
        default_domain: true,
        ..at(
            "ovh-us",
            "https://auth.cloud.ovh.us/",
            &["US-EAST-VA-1", "US-WEST-OR-1", "US-EAST-VA", "US-WEST-OR"],
        )
    },
    at(
        "rackspace",
        "https://identity.api.rackspacecloud.com/v2.0/",
        &["DFW", "HKG", "IAD", "ORD", "SYD", "LON"],
    ),
    at("switchcloud", "https://identity.compute.cloud.switch.ch/v3", &["zhw", "zhc"]),
    at("switchengines", "https://keystone.cloud.switch.ch:5000/v3", &["LS", "ZH"]),
    gone("ultimum", "ultimum-cloud.com has ceased business"),
    gone("unitedstack", "it no longer answers"),
    fetched("vexxhost", "https://vexxhost.com"),
    at("zetta", "https://identity.api.zetta.io/v3", &["no-osl1"]),
];

/// `name` is a vendor or a URL. `None` if unknown.
pub fn known(name: &str) -> Option<Known> {
    let fetch = |from: &str| {
        Known::Refused(format!(
            "openstacksdk fetches this profile from {from}/.well-known/openstack/api, and we do \
                not: \
             write what it says there into clouds-public.yaml"
        ))
    };
    if let Some((scheme, rest)) = name.split_once("://") {
        // What stands before an `@` is nobody's business.
        let host =
            rest.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
        return Some(fetch(&format!("{scheme}://{host}")));
    }
    let vendor = VENDORS.iter().find(|v| v.name == name)?;
    Some(match vendor.note {
        Note::Gone(why) => {
            Known::Refused(format!("the profile `{name}` is of a cloud that is no more: {why}"))
        }
        Note::Fetched(from) => fetch(from),
        Note::Warning(why) => {
            Known::Profile { map: vendor.map(), warning: Some(format!("profile {name}: {why}")) }
        }
        Note::Nothing => Known::Profile { map: vendor.map(), warning: None },
    })
}

impl Vendor {
    fn map(&self) -> Map {
        let text = |text: &str| Setting::text(text, Origin::Vendor(self.name));
        let (mut map, mut auth) = (Map::default(), Map::default());
        if !self.auth_url.is_empty() {
            auth.set("auth_url", text(self.auth_url));
        }
        if self.default_domain {
            auth.set("user_domain_name", text("Default"));
            auth.set("project_domain_name", text("Default"));
        }
        let of = |value| Setting { value, origin: Origin::Vendor(self.name) };
        map.set("auth", of(Value::Map(auth)));
        match self.regions {
            [region] if self.single => map.set("region_name", text(region)),
            all => map.set("regions", of(Value::List(all.iter().map(|r| text(r)).collect()))),
        }
        map
    }
}
