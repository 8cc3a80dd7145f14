//! The templates of a bundle, `output/*.j2`: checked offline, rendered for a published image.
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::jinja::{self, Source};
use super::names::{EXPANDED, Names, Shape};
use super::{hints, rendered_form};
use crate::bundle::{self, Bundle};
use crate::diagnostic::{Diagnostic, Place};
use crate::image::Image;
use crate::plan::Plan;
use crate::reading;

/// A rendered template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Relative to `output/`, without `.j2`.
    pub path: PathBuf,
    pub text: String,
}

/// So many findings in one template are enough; it also ends a render that makes no headway.
const MOST: usize = 100;
/// Bytes of a template, and of a file that one includes.
const MAX_TEMPLATE: u64 = 1 << 20;
/// Bytes that one template renders to.
pub(super) const MAX_OUTPUT: usize = 4 << 20;

/// The templates of a bundle with all they need, as plain data: it crosses to the process that renders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    tree: PathBuf,
    dir: PathBuf,
    /// `output/*.j2`, relative to `dir`.
    templates: Vec<PathBuf>,
    /// Where the keys of build-vars.yml stand.
    places: BTreeMap<String, Place>,
    variables: Map<String, Json>,
}

impl Job {
    /// With stand-ins for what only a build knows.
    pub fn to_check(bundle: &Bundle) -> Self {
        let stand_in = |key: &str| {
            match key {
                "result_img_id" => "00000000-0000-4000-8000-000000000000",
                "result_img_checksum" => "0000000000000000000000000000000000000000000000000000000000000000",
                "run_id" => "20000101-000000-000000",
                "build_date" => "2000-01-01T00:00:00Z",
                "git_commit" => "0000000000000000000000000000000000000000",
                _ => bundle.target_name.as_deref().unwrap_or(&bundle.name),
            }
            .to_string()
        };
        Self::new(bundle, RESULTS.map(|key| (key, stand_in(key))))
    }

    /// For `image`.
    pub fn for_image(bundle: &Bundle, plan: &Plan, image: &Image) -> Self {
        let result = |key: &str| match key {
            "result_img_id" => image.id.clone(),
            "result_img_checksum" => image.checksum.clone(),
            "result_img_name" => image.name.clone(),
            "run_id" => plan.run.clone(),
            "build_date" => plan.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "git_commit" => plan.commit.clone().unwrap_or_default(),
            _ => plan.image_name.clone(),
        };
        Self::new(bundle, RESULTS.map(|key| (key, result(key))))
    }

    fn new(bundle: &Bundle, results: [(&str, String); 7]) -> Self {
        Self {
            tree: bundle.tree.clone(),
            dir: bundle.dir.clone(),
            templates: bundle.templates.clone(),
            places: bundle.places.clone(),
            variables: variables(bundle, results),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// A finding about the template of this number as a whole.
    pub fn finding(&self, template: usize, message: impl Into<String>) -> Diagnostic {
        let path = self.templates.get(template).map_or(Path::new("output"), PathBuf::as_path);
        Diagnostic::error(Place { file: self.shown(path), line: 0, column: 0 }, message)
    }

    /// A path of the bundle as the user would type it.
    fn shown(&self, path: &Path) -> PathBuf {
        let full = self.dir.join(path);
        full.strip_prefix(&self.tree).map(Path::to_path_buf).unwrap_or(full)
    }

    /// Renders all templates in this process; what is wrong with any of them comes back all at once. Before each, `begin` is told
    /// its number. Nothing but [`super::Renderer`] may call it with what a stranger wrote: memory is not bounded here.
    pub fn render(&self, mut begin: impl FnMut(usize)) -> Result<Vec<Rendered>, Vec<Diagnostic>> {
        let mut env = jinja::ANSIBLE.clone();
        let dir = self.dir.clone();
        env.set_loader(move |name| include(&dir, name));
        let (mut done, mut wrong) = (Vec::new(), Vec::new());
        for (number, path) in self.templates.iter().enumerate() {
            begin(number);
            match (Template { job: self, path, env: &env }).render() {
                Ok(text) => {
                    let inside = path.strip_prefix("output").unwrap_or(path);
                    done.push(Rendered { path: inside.with_extension(""), text });
                }
                // A value of build-vars.yml that two templates use is wrong once.
                Err(found) => found.into_iter().for_each(|d| {
                    if !wrong.contains(&d) {
                        wrong.push(d);
                    }
                }),
            }
        }
        if wrong.is_empty() { Ok(done) } else { Err(wrong) }
    }
}

/// What a build adds to build-vars.yml.
const RESULTS: [&str; 7] =
    ["result_img_id", "result_img_name", "result_img_checksum", "bundle_target_name", "run_id", "build_date", "git_commit"];

/// `vars` at top level, over them everything as written, over that what the build found out.
fn variables(bundle: &Bundle, results: [(&str, String); 7]) -> Map<String, Json> {
    let mut all = bundle.vars.clone();
    all.extend(bundle.as_written.as_object().cloned().unwrap_or_default());
    all.extend(results.map(|(key, value)| (key.to_string(), Json::String(value))));
    all
}

/// `{% include %}` and `{% import %}` reach files under `output/`, nothing else.
fn include(bundle: &Path, name: &str) -> Result<Option<String>, Error> {
    if !Path::new(name).components().all(|c| matches!(c, Component::Normal(_))) {
        return Ok(None);
    }
    let within = format!("output/{name}");
    let text = bundle::included(bundle, &within, MAX_TEMPLATE).map_err(|why| Error::new(ErrorKind::InvalidOperation, why))?;
    let Some(text) = text else { return Ok(None) };
    jinja::prepare(&text).map(|s| Some(s.text)).map_err(|why| Error::new(ErrorKind::SyntaxError, why))
}

struct Template<'a> {
    job: &'a Job,
    /// Relative to the bundle.
    path: &'a Path,
    env: &'a Environment<'static>,
}

/// Takes a rendered text up to its bound.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Template<'_> {
    fn render(&self) -> Result<String, Vec<Diagnostic>> {
        let whole = |message: String| vec![Diagnostic::error(self.place(0, 0), message)];
        let bytes =
            reading::bytes(&self.job.dir.join(self.path), MAX_TEMPLATE).map_err(|e| whole(format!("cannot read the template: {e}")))?;
        let written = String::from_utf8(bytes).map_err(|_| whole("the template is not UTF-8".into()))?;
        let source = jinja::prepare(&written).map_err(|why| vec![Diagnostic::error(self.place(1, 1), why)])?;
        let own;
        let env = if source.whitespace == Default::default() {
            self.env
        } else {
            let mut changed = self.env.clone();
            changed.set_syntax(jinja::syntax(source.whitespace));
            own = changed;
            &own
        };
        let text = self.attempt(env, &source)?;
        let rendered = self.path.with_extension("");
        match rendered_form::problem(&rendered, &text) {
            None => Ok(text),
            Some(p) => {
                let line = p.template_line(&text, &source.text).map_or(0, |l| l + source.skipped_lines);
                let place = self.place(line, usize::from(line > 0));
                Err(vec![Diagnostic::error(place, p.message(&text)).hint(p.hint())])
            }
        }
    }

    fn attempt(&self, env: &Environment<'_>, source: &Source) -> Result<String, Vec<Diagnostic>> {
        let name = self.path.to_string_lossy();
        let template = env.template_from_named_str(&name, &source.text).map_err(|e| vec![self.finding(innermost(&e), source)])?;
        let names = Names::new(&self.job.variables);
        let mut wrong: Vec<Diagnostic> = Vec::new();
        let mut last: Option<(String, Shape)> = None;
        while wrong.len() < MOST {
            let mut out = Bounded(Vec::new());
            let rendered = template.render_captured_to(names.context(), &mut out).map(drop);
            let error = match rendered {
                Ok(()) if wrong.is_empty() => return Ok(String::from_utf8(out.0).expect("minijinja writes text")),
                Ok(_) => return Err(wrong),
                Err(error) => error,
            };
            let error = innermost(&error);
            if error.kind() == ErrorKind::UndefinedError
                && let Some(name) = culprit(env, &names, error, &source.text)
            {
                wrong.push(self.undefined(&name, error, source));
                names.assume(&name, Shape::Anything);
                last = Some((name, Shape::Anything));
                continue;
            }
            // An error after a name was made up may come from what was made up: try another shape, then let it be.
            match last.take() {
                Some((name, shape)) if !lasting(error.kind()) => {
                    let Some(shape) = shape.next() else { return Err(wrong) };
                    names.assume(&name, shape);
                    last = Some((name, shape));
                }
                _ => {
                    wrong.push(self.finding(error, source));
                    return Err(wrong);
                }
            }
        }
        Err(wrong)
    }

    fn undefined(&self, name: &str, error: &Error, source: &Source) -> Diagnostic {
        let place = match self.elsewhere(error) {
            Some(place) => place,
            None => {
                let (start, inside) = tag_around(&source.text, error);
                let word = name.rsplit('.').next().unwrap_or(name);
                let found = hints::find_word(inside, name).or_else(|| hints::find_word(inside, word));
                self.at(source, found.map_or_else(|| error.range().map_or(0, |r| r.start), |at| start + at), error)
            }
        };
        let hint = hints::for_name(name, &self.job.variables);
        Diagnostic::error(place, format!("`{name}` is undefined")).hint(hint)
    }

    fn finding(&self, cause: &Error, source: &Source) -> Diagnostic {
        let place = match self.elsewhere(cause) {
            Some(place) => place,
            None => self.at(source, cause.range().map_or(0, |r| r.start), cause),
        };
        let detail = cause.detail().map_or_else(|| cause.kind().to_string(), str::to_string);
        let snippet = cause.range().and_then(|r| source.text.get(r)).unwrap_or_default();
        let found = Diagnostic::error(place, hints::message(cause.kind(), &detail));
        match hints::for_error(cause.kind(), &detail, snippet) {
            Some(hint) => found.hint(hint),
            None => found,
        }
    }

    /// Where the error is, when not in this template: in build-vars.yml or in an included file.
    fn elsewhere(&self, error: &Error) -> Option<Place> {
        let name = error.name()?;
        if let Some(key) = name.strip_prefix(EXPANDED) {
            let file = self.job.shown(Path::new("build-vars.yml"));
            return Some(self.job.places.get(key).cloned().unwrap_or(Place { file, line: 0, column: 0 }));
        }
        if Path::new(name) == self.path {
            return None;
        }
        let file = self.job.shown(&Path::new("output").join(name));
        Some(Place { file, line: error.line().unwrap_or(0), column: 1 })
    }

    /// The place of byte `offset`; of the error's line when the offset is not known.
    fn at(&self, source: &Source, offset: usize, error: &Error) -> Place {
        let before = source.text.get(..offset).unwrap_or_default();
        if error.range().is_none() {
            return self.place(error.line().map_or(0, |l| l + source.skipped_lines), 1);
        }
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.place(line + source.skipped_lines, column)
    }

    fn place(&self, line: usize, column: usize) -> Place {
        Place { file: self.job.shown(self.path), line, column }
    }
}

/// Errors that no value of a variable would mend.
fn lasting(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::OutOfFuel | ErrorKind::WriteFailure)
        || matches!(kind, ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::TemplateNotFound)
}

/// Which of the names looked up in vain the error speaks of: the latest one that stands in the failing expression.
fn culprit(env: &Environment<'_>, names: &Names, error: &Error, text: &str) -> Option<String> {
    let missing: Vec<String> = names.missing().into_iter().filter(|n| !env.globals().any(|(g, _)| g == n)).collect();
    let stands_in = |inside: &str, name: &str| hints::find_word(inside, name.rsplit('.').next().unwrap_or(name)).is_some();
    // The range may be the failing filter alone; then the name is in the same tag.
    let (range, tag) = (error.range().and_then(|r| text.get(r)).unwrap_or_default(), tag_around(text, error).1);
    let stands = missing.iter().find(|n| stands_in(range, n)).or_else(|| missing.iter().find(|n| stands_in(tag, n)));
    stands.or_else(|| missing.first()).cloned()
}

/// The text from the start of the tag the error is in up to the error's end, and where that starts.
fn tag_around<'a>(text: &'a str, error: &Error) -> (usize, &'a str) {
    let range = error.range().unwrap_or(0..0);
    let before = text.get(..range.start).unwrap_or_default();
    let start = before.rfind("{{").into_iter().chain(before.rfind("{%")).max().unwrap_or(range.start);
    (start, text.get(start..range.end).unwrap_or_default())
}

/// An error in an included file is wrapped in one that names the including line.
fn innermost(error: &Error) -> &Error {
    std::error::Error::source(error).and_then(|e| e.downcast_ref::<Error>()).map_or(error, innermost)
}
