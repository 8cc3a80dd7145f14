//! Hosts that variables name, and variables of the environment.
use super::*;

/// A name that is worked out is sound where all that the bundle gives it is; else it was a warning
/// that nobody reads.
#[test]
fn what_is_known_at_the_run_only_is_an_error() {
    assert_eq!(
        said("- hosts: \"{{ where }}\"\n  tasks: [{ping: , delegate_to: '{{ where }}'}]\n"),
        "ansible/site.yml:1:10: error: where this runs is known at the run only: `hosts: {{ where \
            }}`; nothing in the bundle sets `where`\n\
         ansible/site.yml:2:20: error: where this runs is known at the run only: `delegate_to: {{ \
         where }}`; nothing in the bundle sets `where`"
    );
    let hosts = |template: &str, more: &str| format!("- hosts: \"{template}\"\n{more}");
    let sound = [
        hosts("{{ target | default('all') }}", ""),
        hosts("{{ given }}", ""),
        hosts("{{ t | d('all', true) }}", "  vars: {t: local}\n"),
        hosts("all", "  tasks:\n  - {ping: , delegate_to: \"{{ groups['all'][0] }}\"}\n"),
        hosts(
            "all",
            "  tasks:\n  - {ping: , delegate_to: '{{ to | default(inventory_hostname) }}'}\n",
        ),
    ];
    for playbook in sound {
        assert_eq!(said(&playbook), "", "{playbook}");
    }
    let wrong = [
        hosts("{{ far }}", ""),
        hosts("{{ t | default('all') }}", "  vars: {t: localhost}\n"),
        hosts("{{ t | default('all') }}", "  vars: {t: \"{{ 'local' ~ 'host' }}\"}\n"),
        hosts("{{ t | default('all') }}", "  tasks: [{set_fact: t=localhost}]\n"),
        hosts("{{ t | default('all') }}", "  vars_prompt: [{name: t, default: x}]\n"),
        hosts("{{ 'local' ~ 'host' }}", ""),
        hosts("{% if true %}all{% endif %}", ""),
        hosts("all", "  connection: '{{ c }}'\n"),
    ];
    for playbook in wrong {
        assert!(
            said(&playbook).contains(": error: where this runs is known at the run only"),
            "{playbook}: {}",
            said(&playbook)
        );
    }
}

/// What is not passed behind the wall was an empty text, without a word.
#[test]
fn variables_of_the_environment_that_do_not_arrive_are_told_of() {
    let playbook = "- hosts: all\n  vars: {a: \"{{ lookup('env', 'TOKEN') }}\", b: \"{{ \
        q('ansible.builtin.env', 'HOME', 'MIRROR', 'LANG') }}\"}\n  \
        tasks: [{debug: , with_env: [OTHER]}]\n";
    let found =
        with(playbook, &[("roles/web/templates/x.j2", "one\n {{ lookup('env', \"SITE\") }}\n")]);
    let told = |place: &str, name: &str| {
        format!(
            "{place}: warning: `{name}` of the factory's environment does not reach playbooks: \
                this is an empty text"
        )
    };
    assert_eq!(
        found,
        [
            told("ansible/site.yml:2:13", "TOKEN"),
            told("ansible/site.yml:3:32", "OTHER"),
            told("roles/web/templates/x.j2:2:20", "SITE")
        ]
    );
}

/// What only has the name of a variable sets none; each of these was refused.
#[test]
fn what_has_the_name_of_a_variable_does_not_set_it() {
    let names = [
        "hosts",
        "group",
        "groups_to_do",
        "play_target",
        "item_host",
        "ansible_limit",
        "host",
        "target",
        "name",
        "where",
    ];
    let tasks = "  - {name: target, wait_for: {host: localhost, target: localhost}}\n  - make: \
        {target: '{{ x }}', chdir: /a}\n  \
        - shell: mysql --host=db && make target=y\n  - {shell: a, args: {chdir: /host}}\n  - \
        debug: msg='host=localhost'\n  \
        - add_host: {name: web, groups: all}\n  - set_fact: other=localhost\n  - set_fact: {'{{ x \
        }}_path': localhost}\n";
    let files = [
        ("ansible.cfg", "[defaults]\n# host = 1\n; target = localhost\nfact_path = x\n"),
        ("roles/web/templates/x.cfg", "host = localhost\ntarget = {{ target }}\n"),
        ("roles/web/templates/x.yml", "host: localhost\ntarget: localhost\n"),
        ("roles/web/tasks/main.yml", "- {uri: {url: x, host: localhost}, register: answer}\n"),
        (
            "ansible/inventory/site",
            "# host=localhost\n[all]\nx target=all where='local' # \
                host=localhost\n[all:vars]\nplay_target = all\n",
        ),
        ("ansible/other.yml", "- hosts: all\n  vars: {target: localhost}\n"),
        (
            "ansible/group_vars/all.yml",
            "db: {host: localhost, target: localhost}\nitem_host: [all]\n",
        ),
    ];
    for name in names {
        let playbook = format!(
            "- hosts: \"{{{{ {name} | default('all') }}}}\"\n  roles: [{{role: web, name: \
                localhost}}]\n  tasks:\n{tasks}"
        );
        assert_eq!(with(&playbook, &files), [""; 0], "{name}");
    }
    for all in [
        "groups['all']",
        "groups.all",
        "groups['all'][0]",
        "groups['all'] | join(',')",
        "groups['all'] | first",
    ] {
        assert_eq!(said(&format!("- hosts: \"{{{{ {all} }}}}\"\n")), "", "{all}");
    }
}

/// Every word that sets a variable, with the place where it stands.
#[test]
fn what_sets_a_variable_is_found_and_its_place_is_said() {
    let play = "- hosts: \"{{ t | default('all') }}\"\n";
    let more = [
        "  vars: {t: localhost}\n",
        "  vars: [{t: localhost}]\n",
        "  vars: {t: [all, localhost]}\n",
        "  vars: {'{{ x }}': localhost}\n",
        "  roles: [{role: web, t: localhost}]\n",
        "  roles: [{role: web, vars: {t: localhost}}]\n",
        "  module_defaults: {set_fact: {t: localhost}}\n",
        "  tasks: [{set_fact: {t: localhost}}]\n",
        "  tasks: [{set_fact: {\"t{{ '' }}\": localhost}}]\n",
        "  tasks: [{ansible.builtin.set_fact: , args: {t: localhost}}]\n",
        "  tasks: [{set_fact: 'a=\"b c\" t=localhost'}]\n",
        "  tasks: [{set_fact: \"t={{ 'local' ~ 'host' }}\"}]\n",
        "  tasks: [{set_fact: 't=localhos\\x74'}]\n",
        "  tasks: [{set_fact: '\\x74=localhost'}]\n",
        "  tasks: [{set_fact: '{{ all_of_them }}'}]\n",
        "  tasks: [{action: set_fact t=localhost}]\n",
        "  tasks: [{action: {module: set_fact, t: localhost}}]\n",
        "  tasks: [{action: \"{{ 'set_' ~ 'fact' }} t=localhost\"}]\n",
        "  tasks: [{add_host: name=web t=localhost}]\n",
        "  tasks: [{ping: , register: t}]\n",
        "  tasks: [{ping: , loop: [a], loop_control: {loop_var: t}}]\n",
        "  tasks: [{block: [{ping: , vars: {t: localhost}}]}]\n",
        "  tasks: [{include_role: {name: web, apply: {vars: {t: localhost}}}}]\n",
        "  tasks: [{include_vars: {file: v.yml, name: t}}]\n",
        "  vars_prompt: [{name: t}]\n",
    ];
    for more in more {
        let found = said(&format!("{play}{more}"));
        assert!(
            found.contains(": error: where this runs") && found.contains("; ansible/site.yml:2:"),
            "{more}: {found}"
        );
    }
    let files = [
        ("ansible/group_vars/all", "t: localhost\n"),
        ("ansible/inventory/site.yml", "all: {children: {a: {hosts: {x: {t: localhost}}}}}\n"),
        ("ansible/inventory/site.yml", "all: {vars: {t: localhost}}\n"),
        ("ansible/inventory/site", "x  t=localhost\n"),
        ("ansible/inventory/site", "[all:vars]\nt = localhost\n"),
        ("roles/web/meta/main.yml", "dependencies: [{role: db, t: localhost}]\n"),
        ("roles/web/defaults/main.yml", "t: localhost\n"),
    ];
    for (file, text) in files {
        let found = with(play, &[(file, text)]).join("\n");
        assert!(
            found.contains(": error: where this runs") && found.contains(&format!("; {file}:")),
            "{file}: {text}: {found}"
        );
    }
    assert!(
        said("- hosts: \"{{ far }}\"\n")
            .ends_with("; the step or `vars` of the definition sets `far`")
    );
    // As a map it was an error.
    for task in ["set_fact", "add_host"] {
        let found = said(&format!(
            "- hosts: all\n  tasks: [{{{task}: \"name=x ansible_connection={{{{ 'loc' ~ 'al' \
                }}}}\"}}]\n"
        ));
        assert!(
            found.contains("error: where this runs is known at the run only: `ansible_connection="),
            "{found}"
        );
    }
}

/// Every template read every file again: more than five seconds of processor time.
#[test]
fn hosts_that_are_worked_out_cost_one_look_at_each_file() {
    let playbook = "- hosts: \"{{ target | default('all') }}\"\n".repeat(45);
    let task = "- {copy: {src: a, dest: /b}, when: c is defined, register: d}\n".repeat(20);
    let names: Vec<String> = (0..150).map(|n| format!("roles/web/tasks/t{n}.yml")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), task.as_str())).collect();
    let spent = || {
        // SAFETY: plain system call that fills what it is given.
        let mut at: libc::timespec = unsafe { std::mem::zeroed() };
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut at) }, 0);
        std::time::Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
    };
    let before = spent();
    assert_eq!(with("- hosts: \"{{ target | default('all') }}\"\n", &files), [""; 0]);
    let once = spent() - before;
    let before = spent();
    assert_eq!(with(&playbook, &files), [""; 0]);
    // It was as many times as there are plays.
    assert!(spent() - before < once * 5, "{once:?} for one play, {:?} for 45", spent() - before);
}

/// Each of these was refused, or ran on the factory without a finding.
#[test]
fn a_variable_may_be_worked_out_of_the_next() {
    let play = |vars: &str| format!("- hosts: \"{{{{ t }}}}\"\n  vars: {vars}\n");
    let sound = [
        "{t: \"{{ target | default('all') }}\"}",
        "{t: '{{ u }}', u: '{{ v }}', v: all}",
        "{t: '{{ given }}'}",
        "{t: \"{{ groups['all'] }}\"}",
    ];
    for vars in sound {
        assert_eq!(said(&play(vars)), "", "{vars}");
    }
    let wrong = [
        "{t: \"{{ target | default('localhost') }}\"}",
        "{t: '{{ u }}', u: localhost}",
        "{t: '{{ u }}', u: '{{ v }}'}",
        "{t: '{{ u }}', u: '{{ t }}'}",
        "{t: \"{{ t | default('all') }}\"}",
        "{t: '{{ far }}'}",
    ];
    for vars in wrong {
        assert!(
            said(&play(vars)).contains(": error: where this runs is known"),
            "{vars}: {}",
            said(&play(vars))
        );
    }
}

/// The settings of a step's environment were not followed.
#[test]
fn what_the_environment_of_a_step_names_is_looked_into() {
    let task = "- {ping: , delegate_to: localhost}\n";
    let found = |env: (&str, &str), files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in
            files.iter().copied().chain([("ansible/site.yml", "- hosts: all\n  roles: [r]\n")])
        {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let config = Config::of(dir.path(), &[(env.0.to_owned(), env.1.to_owned())].into());
        let (path, shown) = (Path::new("ansible/site.yml"), Path::new("x"));
        let given = Given { config, ..Given::default() };
        super::playbook(
            &mut Cache::default(),
            &Playbook { dir: dir.path(), shown, path, given, local: false },
        )
    };
    let role = ("far/r/tasks/main.yml", task);
    for env in [("ANSIBLE_ROLES_PATH", "far"), ("ANSIBLE_CONFIG", "conf/a.cfg")] {
        let found = found(env, &[role, ("conf/a.cfg", "[defaults]\nRoles_Path: ../far\n")]);
        assert!(
            found.len() == 1
                && found[0].to_string().starts_with("x/far/r/tasks/main.yml:1:12: error"),
            "{env:?} {found:?}"
        );
    }
    let found =
        found(("ANSIBLE_CONFIG", "conf/a.cfg"), &[("conf/a.cfg", "[defaults]\nTRANSPORT=local\n")]);
    assert!(
        found.len() == 1 && found[0].to_string().starts_with("x/conf/a.cfg:2:1: error"),
        "{found:?}"
    );
}
