//! What runs behind the wall has bounds, and reaches nothing of the wall's own.
use super::*;
use crate::system::exec::joint;

/// How a script ends behind the wall, under these limits. It has a minute, and what it leaves is
/// gone when this returns.
async fn ends(limits: LimitSettings, program: &str, script: &str) -> String {
    let (dir, room) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (wall, plan) = (wall(Settings { limits, ..Settings::default() }, &[]), plan(dir.path()));
    let room =
        WorkDir { plan: &plan, dir: &room.path().join("room"), read: Vec::new(), source: false };
    let cmd = Cmd::new(program, Duration::from_secs(60)).args(["-c", script]);
    let cmd = wall.around(cmd, &room, &Cancel::default()).await.unwrap();
    match exec::output(&cmd, &Cancel::default()).await {
        Ok(said) => said,
        Err(e) => e.to_string(),
    }
}

/// Each process has little, and all together too much. None of these passes what the machine bears.
#[tokio::test]
async fn what_runs_behind_the_wall_is_bounded_together() {
    let limits =
        LimitSettings { processes: Some(50), together_mib: Some(200), ..LimitSettings::default() };
    let many = "i=0; while [ $i -lt 120 ]; do sleep 50 & i=$((i+1)); done; wait";
    let orphans = "i=0; while [ $i -lt 120 ]; do (setsid sh -c 'sleep 50 & sleep 50' &) ; \
        i=$((i+1)); done; sleep 50";
    let threads = "import threading, time\nfor _ in range(120): \
        threading.Thread(target=time.sleep, args=(50,)).start()";
    for (program, script) in
        [("/bin/sh", many), ("/bin/sh", orphans), ("/usr/bin/python3", threads)]
    {
        let ended = ends(limits, program, script).await;
        assert!(
            ended.contains("processes and threads at once, and 50 are allowed together"),
            "{script}: {ended}"
        );
    }
    let hogs = "import os, time\nfor _ in range(8): os.fork() or (setattr(os, 'x', b'x' * (40 << \
        20)), time.sleep(50))\ntime.sleep(50)";
    let file = "import os, time\nf = os.memfd_create('f')\nfor _ in range(300): os.write(f, b'x' * \
        (1 << 20))\ntime.sleep(50)";
    // Its first thread ends by the system call alone, and the kernel tells of the process no more.
    let exit = libc::SYS_exit;
    let headless = format!(
        "import ctypes, threading, time\ndef hold():\n    time.sleep(1)\n    x = b'x' * (300 << \
            20)\n    time.sleep(50)\n\
         threading.Thread(target=hold).start()\nctypes.CDLL(None).syscall({exit}, 0)"
    );
    for script in [hogs, file, &headless] {
        let ended = ends(limits, "/usr/bin/python3", script).await;
        assert!(
            ended.contains("python3: killed, for its processes took")
                && ended.contains("and 200 are allowed"),
            "{script}: {ended}"
        );
    }
    // What processes share is counted once, and so is what is on disk anyway.
    let shared = "import os, time\nx = b'x' * (60 << 20)\nfor _ in range(8): os.fork() or \
        (time.sleep(2), os._exit(0))\nfor _ in range(8): os.wait()\nprint('done')";
    assert_eq!(ends(limits, "/usr/bin/python3", shared).await, "done\n");
    assert_eq!(ends(LimitSettings::default(), "/bin/sh", "sleep 1; echo done").await, "done\n");
}

/// Memory that is no process's own: files by name, and segments of System V.
#[tokio::test]
async fn memory_by_name_is_small() {
    let script = "for at in /dev /dev/shm /run /proc/1; do head -c 100000000 /dev/zero 2>/dev/null \
        >$at/x; echo $(stat -c %s $at/x); done; rm -f /dev/shm/x; \
                  (ipcmk -M 100000000; ipcmk -S 100; ipcmk -Q) 2>&1 | grep -c 'not implemented'";
    let said = ends(LimitSettings::default(), "/bin/sh", script).await;
    let sizes: Vec<u64> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert!(
        sizes.iter().all(|size| *size < 70_000_000)
            && sizes.contains(&(64 << 20))
            && said.ends_with("\n3\n"),
        "{said}"
    );
}

/// The wall's own first process ends with the program: a program that stops it, or writes to its
/// memory, would keep it.
#[tokio::test]
async fn nothing_reaches_the_walls_own_process() {
    let script = "import ctypes, os, errno\n\
                  c = ctypes.CDLL(None, use_errno=True)\n\
                  def said(name, got): print(name, errno.errorcode.get(ctypes.get_errno(), 0) if \
                  got == -1 else 'DONE')\n\
                  said('seize', c.ptrace(0x4206, 1, 0, 0))\n\
                  said('attach', c.ptrace(16, 1, 0, 0))\n\
                  b = ctypes.create_string_buffer(64)\n\
                  said('read', c.process_vm_readv(1, b, 1, b, 1, 0))\n\
                  said('write', c.process_vm_writev(1, b, 1, b, 1, 0))\n\
                  print(os.listdir('/proc/1'))\n";
    let said = ends(LimitSettings::default(), "/usr/bin/python3", script).await;
    assert_eq!(said, "seize EPERM\nattach EPERM\nread EPERM\nwrite EPERM\n[]\n");
}

#[test]
fn what_the_owner_says_nothing_of_has_the_documented_limit() {
    let all = joint::machine_memory().unwrap();
    let joint = wall(Settings::default(), &[]).joint();
    assert_eq!((joint.processes, joint.memory / 3, joint.memory % 3), (4096, all / 4, 0));
}
