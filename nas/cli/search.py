"""`nas search`: the main job."""

from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import DURATION, SEED, SHARE, json_option, store_option
from nas.cli.ray_options import default_workers, ray_options, reached
from nas.cli.records import trial_record
from nas.errors import LatencyError, NasError

if TYPE_CHECKING:  # importing it means importing sqlalchemy
    from nas.executors.ray.cluster import RayCluster
    from nas.latency.model import LatencyModel
    from nas.search import SearchResult
    from nas.store.records import StoredTrial


@click.command()
@click.option("--target", default="pixel", show_default=True, help="A device of `nas latency list`, or host.")
@click.option("--budget", required=True, type=DURATION, help="Largest latency, with its unit: 60ms.")
@click.option(
    "--space", help="Of `nas space list`, or a YAML file.  [default: mnasnet_imagenet; with --data mobilenet_v3]"
)
@click.option("--data", help="cifar10, digits or imagefolder:DIR.  [default: none; accuracies are predicted]")
@click.option("--evaluator", help="predictor, proxy or supernet.  [default: predictor; with --data supernet]")
@click.option(
    "--strategy", help="Or evolution, random, controller, tpe, nsga2.  [default: ranking; with --data surrogate]"
)
@click.option("--objectives", default="accuracy", show_default=True, help="accuracy,latency[,params,memory]: a front.")
@click.option("--reward", default="hard", show_default=True, help="soft, hard, absolute; or soft:-0.15, soft:-0.15@40.")
@click.option(
    "--trials", type=click.IntRange(min=1), help="Networks to judge.  [default: 3000, proxy 16, supernet 300]"
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core, trials/4 at most]")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of each process.")
@click.option("--explore-over-budget", is_flag=True, help="Train networks over the budget, too; none is reported best.")
@click.option("--early-stop", is_flag=True, help="End trainings that are behind others at 1/2, 1/4, ... of the epochs.")
@click.option("--confidence", type=SHARE, help="Accept a network if it meets the budget so surely, such as 0.95.")
@click.option("--verify", is_flag=True, help="Measure the winner whole at the end; --target host alone.")
@click.option("--proxy-resolution", type=click.IntRange(16), help="Pixels in training.  [default: what suits the data]")
@click.option("--proxy-epochs", type=click.IntRange(1), help="Epochs per network, or of the supernet.")
@click.option("--proxy-images", type=click.IntRange(2), help="Images to train on.  [default: what suits the data]")
@click.option("--own-images", type=int, help="Of those of the supernet: train each candidate on so many, too.")
@click.option("--finalists", type=click.IntRange(0), help="Best networks to train alone.  [default: 0; supernet 3]")
@click.option("--final-epochs", type=click.IntRange(1), help="Of each finalist.  [default: 10]")
@click.option("--study", help="Name of the study.  [default: made from the options]")
@click.option("--no-reuse", is_flag=True, help="Train networks, too, that another study has trained in the same way.")
@click.option("--fork", is_flag=True, help="Begin a new study from the trials of one whose basis changed.")
@ray_options
@store_option
@json_option
def search(  # noqa: PLR0913, PLR0917 - the command's options
    target: str,
    budget: float,
    space: str | None,
    data: str | None,
    evaluator: str | None,
    strategy: str | None,
    objectives: str,
    reward: str,
    trials: int | None,
    seed: int,
    workers: int | None,
    threads: int,
    explore_over_budget: bool,
    early_stop: bool,
    confidence: float | None,
    verify: bool,
    proxy_resolution: int | None,
    proxy_epochs: int | None,
    proxy_images: int | None,
    own_images: int | None,
    finalists: int | None,
    final_epochs: int | None,
    study: str | None,
    no_reuse: bool,
    fork: bool,
    cluster: "RayCluster | None",
    storage: str | None,
    store_url: str,
    as_json: bool,
) -> None:
    """Find the most accurate network that meets a latency budget.

    Without --data nothing is trained: an accuracy model that ships with the space predicts thousands of networks in a
    minute. With --data networks are judged on images held out from the training set: with the weights of a supernet,
    whose one training, kept in the cache, serves all of them, and the best few are then trained alone. By --own-images
    the start of a training of its own is half of what a network is judged by. With --evaluator proxy each is trained
    for a short time instead.
    All trials are recorded: the same command goes on where it stopped, and a larger --trials adds to what is there.
    """
    from nas import search as main_job  # noqa: PLC0415 - sqlalchemy is not needed for --help
    from nas.cli import tables  # noqa: PLC0415
    from nas.cli.finalists import finalist_count, train_finalists, winner_of  # noqa: PLC0415
    from nas.cli.latency.common import ready_target  # noqa: PLC0415
    from nas.cli.progress import search_progress  # noqa: PLC0415
    from nas.cli.search_result import print_answer, say_if_nothing_forked  # noqa: PLC0415
    from nas.cli.supernet_progress import SupernetProgress  # noqa: PLC0415
    from nas.space import load_space  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    if data is None:
        about = proxy_resolution or proxy_epochs or proxy_images or own_images or early_stop or no_reuse
        require_untrained(about, cluster)
    evaluator = main_job.choose_evaluator(evaluator, data)
    space, trials = space or main_job.DEFAULT_SPACE[evaluator], trials or main_job.DEFAULT_TRIALS[evaluator]
    accuracy_version = main_job.accuracy_version(space, data)
    if verify:
        require_measurable(target)
    latency = ready_target(target, load_space(space).with_num_classes(main_job.num_classes(data)))
    given = {"resolution": proxy_resolution, "epochs": proxy_epochs, "train_images": proxy_images}
    training = main_job.proxy_training(data, evaluator, **given) if data else None
    settings = main_job.SearchSettings(
        budget_ms=budget,
        target=latency.target,
        latency_version=latency.version,
        space=space,
        data=data,
        evaluator=evaluator,
        strategy=strategy or main_job.default_strategy(evaluator, space),
        objectives=objectives.replace(" ", ""),
        reward=reward,
        seed=seed,
        trials=trials,
        explore_over_budget=explore_over_budget,
        early_stop=early_stop,
        confidence=confidence,
        proxy=training,
        accuracy_version=accuracy_version,
        data_version=main_job.data_version(data),
        storage=storage,
        own_images=own_images,
    )
    main_job.require_heeded(settings)
    workers = workers or min(default_workers(cluster), max(1, trials // 4))
    finalists = finalist_count(finalists, final_epochs, evaluator, trials)
    trained: list[dict[str, Any]] = []
    progress = search_progress(trials, budget, each=data is not None)
    with reached(cluster), Store.open(store_url) as store, progress as listener:
        try:
            found = main_job.search(
                settings,
                latency=latency,
                store=store,
                listener=listener,
                workers=workers,
                threads=threads,
                cluster=cluster,
                name=study,
                reuse=not no_reuse,
                fork=fork,
                watch=SupernetProgress(),
            )
            if finalists:
                folder = store.weights_folder(found.study) / "finalists"
                trained = train_finalists(found, settings, folder, finalists, final_epochs or 10, workers, cluster)
            say_if_nothing_forked(fork, store.study(found.study))
        except KeyboardInterrupt:
            click.echo("nas: stopped; the same command goes on where it stopped", err=True)
            raise SystemExit(130) from None
    if confidence is not None:
        latency = latency.with_coverage(confidence)
    winner = winner_of(found, trained)
    verified = verify_best(winner, latency) if verify and winner else None
    if as_json:
        record = result_record(found, _interpolated(found, latency)) | ({"finalists": trained} if finalists else {})
        tables.print_json(record | ({"verified": verified} if verify else {}))
    else:
        print_answer(found, settings, latency, trained, verified)
    if winner is None:
        raise NasError("no trial within the budget finished; `nas trials show trial:ID` says what became of one")


def require_untrained(about_training: object, cluster: "RayCluster | None") -> None:
    """Refuse options that mean nothing where nothing is trained. Raises NasError."""
    if about_training:
        raise NasError("--early-stop, --no-reuse, --own-images, --proxy-... are about trainings; expected --data, too")
    if cluster is not None:
        raise NasError("--ray is about trainings; a prediction takes a millisecond here; expected --data, too")


def result_record(found: "SearchResult", interpolated: int | None) -> dict[str, Any]:
    """What `nas search --json` prints; documented in docs/json.md."""
    return {
        "study": found.study,
        "trials": {state.value: count for state, count in found.counts.items()},
        "best": trial_record(found.best) if found.best else None,
        "front": [trial_record(stored) for stored in found.front],
        "interpolated": interpolated,
        "top": [trial_record(stored) for stored in found.top],
    }


def _interpolated(found: "SearchResult", latency: "LatencyModel") -> int | None:
    """How many ops of the best network stand on similar ones; None if there is no best one."""
    if found.best is None:
        return None
    return len(latency.estimate(found.best.trial.proposal.architecture).interpolated)


def require_measurable(target: str) -> None:
    """Refuse to promise a measurement that cannot be made.

    Raises:
        LatencyError: an unknown target, or one other than this machine.
    """
    from nas.latency.host import HOST, host_setup  # noqa: PLC0415
    from nas.latency.targets import load_target  # noqa: PLC0415

    if not host_setup(target):
        name = load_target(target).target  # an unknown one is another mistake
        raise LatencyError(f"--verify: {name} cannot be measured from here; only --target {HOST} can")


def verify_best(winner: "StoredTrial", latency: "LatencyModel") -> dict[str, Any]:
    """A search's winner measured whole on this machine, beside what was predicted."""
    from nas.latency.host import FLOAT, host_setup  # noqa: PLC0415
    from nas.latency.measure import measure_network  # noqa: PLC0415 - onnxruntime

    architecture = winner.trial.proposal.architecture
    predicted = latency.estimate(architecture)
    measured_ms = measure_network(architecture, host_setup(latency.target) or FLOAT)
    return {
        "trial": winner.id,
        "architecture": architecture.id,
        "target": latency.target,
        "ms": predicted.ms,
        "low_ms": predicted.low_ms,
        "high_ms": predicted.high_ms,
        "measured_ms": measured_ms,
        "error": (predicted.ms / measured_ms - 1) * 100,
        "within_interval": predicted.low_ms <= measured_ms <= predicted.high_ms,
    }
