"""The compute port on this machine: a job is a process in a container's layout."""

from pathlib import Path

from filelock import FileLock

from resources.compute.compute import Compute, JobResult
from resources.compute.failures import Context, JobFailed
from resources.compute.job_spec import JobSpec
from resources.compute.local.attempt import Attempt
from resources.compute.local.folder import JobFolder
from resources.compute.outputs import record_key


class LocalCompute(Compute):
    """Runs a job as a process of this machine, in a container's layout under ``jobs_dir``.

    Attributes:
        jobs_dir: where running and failed jobs have their folders; those of done jobs are deleted.
        grace_s: seconds a job gets between SIGTERM and SIGKILL to save a checkpoint.
    """

    jobs_dir: str
    grace_s: float = 5.0

    def run(self, context: Context, spec: JobSpec) -> JobResult:
        """Run a job as a local process; see :meth:`Compute.run`.

        An interrupt of the run terminates the process.
        """
        if result := self._reused(context, spec):
            return result
        folder = JobFolder(Path(self.jobs_dir).absolute() / spec.name)
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder.path}.lock")
        lock.acquire()
        try:
            if result := self._reused(context, spec):  # another process has just done it
                return result
            attempt = Attempt(context, spec, self._objects, folder, self.grace_s)
            with attempt.session():
                lock.release()  # from here on others may attach
                code = attempt.wait()
        finally:
            lock.release(force=True)
        attempt.check(code)
        with lock:
            if not self._objects.exists(record_key(spec.name)):
                attempt.store_outputs()
            if folder.path.exists():
                folder.remove()
            Path(lock.lock_file).unlink(
                missing_ok=True
            )  # a process waiting for it finds the record
        result = self._result(spec.name, reused=False, reattached=attempt.reattached)
        if result is None:
            raise JobFailed(f"the record of job {spec.name} vanished from {self._objects.url}")
        return result
