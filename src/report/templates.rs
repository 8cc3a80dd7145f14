//! Templates of a bundle (`output/*.j2`): checked offline, and rendered for a published image.
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{fixed_ids, hints, rendered_form};
use crate::frontend::build_vars::{self, Doubts, RESULTS};
use crate::jinja::{self, Error, Kind, Source, Variables};
use crate::model::definition::Definition;
use crate::model::diagnostic::{Diagnostic, Location, Severity};
use crate::model::field::Locations;
use crate::model::image::{self, Image};
use crate::plan::{self, Plan};
use crate::system::reading;

/// A rendered template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Relative to `output/`, without `.j2`.
    pub path: PathBuf,
    pub text: String,
}

/// Rendered texts, or all errors of the templates.
pub type Outcome = Result<Vec<Rendered>, Vec<Diagnostic>>;

/// Placeholder for the ID of an image that does not exist yet.
pub const STAND_IN: &str = "00000000-0000-4000-8000-000000000000";

/// Placeholder for its creation time.
const DATE_STAND_IN: &str = "2000-01-01T00:00:00Z";
/// Size limit of a template or included file, in bytes.
const MAX_TEMPLATE: u64 = 1 << 20;
/// Placeholder of the same length as a sha512.
const CHECKSUM_STAND_IN: &str = concat!(
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
);
/// Size limit of one rendered text, in bytes.
const MAX_OUTPUT: usize = 4 << 20;

/// Templates of a bundle with all inputs, as plain data for the rendering process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    tree: PathBuf,
    dir: PathBuf,
    /// `output/*.j2`, relative to `dir`.
    templates: Vec<PathBuf>,
    /// Locations of the keys in build-vars.yml.
    locations: Locations,
    variables: Map<String, Json>,
    /// Problems that may be consequences of errors in build-vars.yml, and are not reported.
    doubts: Doubts,
}

/// How an image was made.
struct Made<'a> {
    run: &'a str,
    at: Timestamp,
    commit: &'a str,
}

/// Path of a template's output, relative to `output/`.
pub fn output_of(template: &Path) -> PathBuf {
    template.strip_prefix("output").unwrap_or(template).with_extension("")
}

impl Job {
    /// With placeholders for build results.
    pub fn to_check(bundle: &Definition) -> Self {
        let at: Timestamp = DATE_STAND_IN.parse().expect("it is a constant");
        let stand_in = |key: &str| match key {
            "result_img_id" => STAND_IN.to_owned(),
            "result_img_checksum" => CHECKSUM_STAND_IN.to_owned(),
            "run_id" => plan::run_id(at, 0),
            "build_date" => DATE_STAND_IN.to_owned(),
            "git_commit" => "0".repeat(40),
            _ => plan::image_name(bundle, at),
        };
        Self::new(bundle, RESULTS.map(|key| (key, stand_in(key))))
    }

    /// [`to_check`](Self::to_check) for an invalid definition: ignores errors that may follow from
    /// uncertain values.
    pub fn to_check_rest(bundle: &Definition, doubts: &Doubts) -> Self {
        let mut job = Self::to_check(bundle);
        // Removes uncertain variables, so that their uses are undefined names that `doubts`
        // excuses.
        job.variables.retain(|name, _| RESULTS.contains(&name.as_str()) || !doubts.concern(name));
        job.doubts = doubts.clone();
        job
    }

    /// [`to_check`](Self::to_check) with the ID of an existing image.
    pub fn to_preview(bundle: &Definition, image: Option<&str>) -> Self {
        let mut job = Self::to_check(bundle);
        if let Some(id) = image {
            job.variables.insert("result_img_id".into(), Json::String(id.into()));
        }
        job
    }

    /// With the values of a plan, and placeholders for what only the build gives.
    pub fn to_build(bundle: &Definition, plan: &Plan) -> Self {
        let image =
            Image { id: STAND_IN.into(), checksum: CHECKSUM_STAND_IN.into(), ..plan.expected() };
        Self::for_image(bundle, plan, &image)
    }

    /// For a published image.
    pub fn for_image(bundle: &Definition, plan: &Plan, image: &Image) -> Self {
        let commit = plan.commit.clone().unwrap_or_default();
        Self::of(bundle, image, Made { run: &plan.run, at: plan.at, commit: &commit })
    }

    /// For an image that is published already; what its build knew, its properties tell.
    pub fn of_published(bundle: &Definition, image: &Image) -> Self {
        let text = |key: &str| image.properties.get(key).map(String::as_str).unwrap_or_default();
        let run = text(image::RUN);
        let at = plan::began(run).or(image.published_at()).unwrap_or(image.created);
        Self::of(bundle, image, Made { run, at, commit: text(image::COMMIT) })
    }

    fn of(bundle: &Definition, image: &Image, made: Made<'_>) -> Self {
        let result = |key: &str| match key {
            "result_img_id" => image.id.clone(),
            "result_img_checksum" => image.checksum.clone(),
            "run_id" => made.run.to_owned(),
            "build_date" => made.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "git_commit" => made.commit.to_owned(),
            _ => image.name.clone(),
        };
        Self::new(bundle, RESULTS.map(|key| (key, result(key))))
    }

    /// What is wrong only where there is no commit, as in a tree without git: warnings, because
    /// the tree may always have one. `self` has one, and is sound.
    pub fn without_commit(&self) -> Vec<Diagnostic> {
        let mut job = self.clone();
        job.variables.insert("git_commit".into(), Json::String(String::new()));
        let found = job.render(|_| ()).err().unwrap_or_default();
        let warning = |d: Diagnostic| Diagnostic {
            severity: Severity::Warning,
            message: format!("{}, where `git_commit` is empty, as outside of git", d.message),
            ..d
        };
        found.into_iter().map(warning).collect()
    }

    fn new(bundle: &Definition, results: [(&str, String); 7]) -> Self {
        Self {
            tree: bundle.tree.clone(),
            dir: bundle.dir.clone(),
            templates: bundle.templates.clone(),
            locations: bundle.locations.clone(),
            variables: variables(bundle, results),
            doubts: Doubts::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// A finding about a template as a whole.
    pub fn finding(&self, template: usize, message: impl Into<String>) -> Diagnostic {
        let path = self.templates.get(template).map_or(Path::new("output"), PathBuf::as_path);
        Diagnostic::error(Location { file: self.shown(path), line: 0, column: 0 }, message)
    }

    /// A path of the bundle as a user would type it.
    fn shown(&self, path: &Path) -> PathBuf {
        let full = self.dir.join(path);
        full.strip_prefix(&self.tree).map(Path::to_path_buf).unwrap_or(full)
    }

    /// Renders all templates in this process; returns all errors together. Calls `begin` with each
    /// template's number. Does not limit memory, so only [`super::Renderer`] may use it for
    /// untrusted templates.
    pub fn render(&self, mut begin: impl FnMut(usize)) -> Outcome {
        let (mut done, mut errors) = (Vec::new(), Vec::new());
        for (number, path) in self.templates.iter().enumerate() {
            begin(number);
            match (Template { job: self, path }).render() {
                Ok(text) => {
                    done.push(Rendered { path: output_of(path), text });
                }
                // A value of build-vars.yml that two templates use is reported once.
                Err(found) => found.into_iter().for_each(|d| {
                    if !errors.contains(&d) {
                        errors.push(d);
                    }
                }),
            }
        }
        if errors.is_empty() { Ok(done) } else { Err(errors) }
    }

    /// Warnings about valid templates: duplicate keys, hard-coded image IDs.
    pub fn warnings(&self, rendered: &[Rendered]) -> Vec<Diagnostic> {
        let id = self.variables.get("result_img_id").and_then(Json::as_str).unwrap_or_default();
        let mut found = Vec::new();
        for r in rendered {
            let path = self.templates.iter().find(|t| output_of(t) == r.path);
            let Some(path) = path else { continue };
            let template = Template { job: self, path };
            let Ok(source) = template.source() else { continue };
            let location = |line: Option<usize>| {
                let line = line.map_or(0, |l| l + source.skipped_lines);
                template.location(line, usize::from(line > 0))
            };
            for twice in rendered_form::keys_twice(&r.path, &r.text) {
                let location =
                    location(rendered_form::template_line(twice.line, &r.text, &source.text));
                found
                    .push(Diagnostic::warning(location, twice.message(&r.path)).hint(twice.hint()));
            }
            if let Some(fixed) = fixed_ids::of_images(&r.text, id) {
                let location =
                    location(rendered_form::template_line(fixed.line, &r.text, &source.text));
                found.push(
                    Diagnostic::warning(location, fixed.message())
                        .hint("write `{{ result_img_id }}` where the ID stands"),
                );
            }
        }
        found
    }
}

/// `vars` at top level, overridden by all keys as written, overridden by build results.
fn variables(bundle: &Definition, results: [(&str, String); 7]) -> Map<String, Json> {
    let mut all = bundle.vars.clone();
    all.extend(bundle.as_written.as_object().cloned().unwrap_or_default());
    all.extend(results.map(|(key, value)| (key.to_string(), Json::String(value))));
    all
}

/// `{% include %}` and `{% import %}` can read only files under `output/`.
fn include(bundle: &Path, name: &str) -> Result<Option<String>, String> {
    if !Path::new(name).components().all(|c| matches!(c, Component::Normal(_))) {
        return Ok(None);
    }
    build_vars::included(bundle, &format!("output/{name}"), MAX_TEMPLATE)
}

struct Template<'a> {
    job: &'a Job,
    /// Relative to the bundle.
    path: &'a Path,
}

impl Template<'_> {
    fn source(&self) -> Result<Source, Vec<Diagnostic>> {
        let whole = |message: String| vec![Diagnostic::error(self.location(0, 0), message)];
        let bytes = reading::bytes(&self.job.dir.join(self.path), MAX_TEMPLATE)
            .map_err(|e| whole(format!("cannot read the template: {e}")))?;
        let written =
            String::from_utf8(bytes).map_err(|_| whole("the template is not UTF-8".into()))?;
        jinja::prepare(&written).map_err(|why| vec![Diagnostic::error(self.location(1, 1), why)])
    }

    fn render(&self) -> Result<String, Vec<Diagnostic>> {
        let source = self.source()?;
        let name = self.path.to_string_lossy();
        // Made anew for each template: one can change the lists that it sees.
        let variables = Variables::new(&self.job.variables);
        let load = |name: &str| include(&self.job.dir, name);
        let template = jinja::Template { name: &name, source: &source, limit: MAX_OUTPUT };
        let done = jinja::render(&template, &variables, &load);
        let findings = |found: Vec<Error>| -> Vec<Diagnostic> {
            found.iter().filter(|e| !self.may_follow(e)).map(|e| self.finding(e, &source)).collect()
        };
        let text = done.map_err(findings)?;
        if self.job.doubts.all_names {
            return Err(Vec::new());
        }
        let rendered = self.path.with_extension("");
        match rendered_form::problem(&rendered, &text) {
            None => Ok(text),
            Some(p) => {
                let line = rendered_form::template_line(p.line, &text, &source.text)
                    .map_or(0, |l| l + source.skipped_lines);
                let location = self.location(line, usize::from(line > 0));
                Err(vec![Diagnostic::error(location, p.message(&text)).hint(p.hint())])
            }
        }
    }

    /// Whether the error may be a consequence of an error in build-vars.yml.
    fn may_follow(&self, error: &Error) -> bool {
        let doubts = &self.job.doubts;
        match error.kind {
            Kind::Undefined => doubts.concern(&error.name),
            Kind::Syntax | Kind::UnknownFilter | Kind::UnknownTest => false,
            Kind::Raised | Kind::Refused | Kind::NotFound | Kind::Endless | Kind::TooLong => {
                doubts.all_names
            }
        }
    }

    fn finding(&self, error: &Error, source: &Source) -> Diagnostic {
        let message = if error.kind == Kind::Syntax {
            format!("template syntax: {}", error.message)
        } else {
            error.message.clone()
        };
        let found = Diagnostic::error(self.spot(error, source), message);
        let hint = match error.kind {
            Kind::Undefined if error.name.is_empty() => None,
            Kind::Undefined => Some(hints::for_name(&error.name, &self.job.variables)),
            kind => hints::for_error(kind, &error.message),
        };
        match hint {
            Some(hint) => found.hint(hint),
            None => found,
        }
    }

    /// Location of the error: in this template, build-vars.yml, or an included file.
    fn spot(&self, error: &Error, source: &Source) -> Location {
        let Some((name, offset)) = &error.spot else { return self.location(0, 0) };
        if let Some(key) = name.strip_prefix(jinja::EXPANDED) {
            let file = self.job.shown(Path::new(build_vars::FILE));
            return self.job.locations.of_key(key).cloned().unwrap_or(Location {
                file,
                line: 0,
                column: 0,
            });
        }
        if Path::new(&**name) == self.path {
            let (line, column) = position(&source.text, *offset);
            return self.location(line + source.skipped_lines, column);
        }
        let text =
            include(&self.job.dir, name).ok().flatten().unwrap_or_default().replace("\r\n", "\n");
        let (line, column) = position(&text, *offset);
        Location { file: self.job.shown(&Path::new("output").join(&**name)), line, column }
    }

    fn location(&self, line: usize, column: usize) -> Location {
        Location { file: self.job.shown(self.path), line, column }
    }
}

/// Line and column of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}
