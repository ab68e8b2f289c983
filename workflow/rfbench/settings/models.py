"""A configuration: its keys with their types, limits, defaults and meaning.

The defaults are the published recipe (M2MRF paper v2, "Experiments", and the authors' released code; see README,
"Protocol"). The text below a key, or of the section that it is, describes it in workflow/schemas/config.schema.json,
which `make schema` writes. A `why` says why more than the largest value cannot run.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    WrapSerializer,
    field_validator,
)
from pydantic_core import PydanticCustomError

from rfbench.names import LESIONS
from rfbench.settings.types import (
    Colour,
    EachOnce,
    Factor,
    Flag,
    Folder,
    Lesion,
    Line,
    Methods,
    Name,
    Number,
    Option,
    Options,
    Pairs,
    Sha256,
    Size,
    Spreads,
    Updates,
    Whole,
    unexpected,
)

EvalSize = Literal["native", "prepared"]


class Section(BaseModel):
    """Keys that belong together. Frozen; no others may stand beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _left_out(value: Any) -> bool:
    """Whether a key that was not given stays out of records and of the jobs' file."""
    return value is None


def _as_before_there_was_the_key(value: Any) -> bool:
    """Whether a key has its default and so stays out: settings, and their digests, are those of before the key."""
    return value in (0, "image") or value in ((), {})


def _one(value: Any) -> bool:
    """Whether a number that was 1 before there was the key still is, and so stays out."""
    return value == 1


def _local(value: Any) -> bool:
    """Whether photographs stay local, as they did before there was the key, and so it stays out."""
    return value == "local"


def _because(why: str) -> dict:
    return {"why": why}


def _needed(key: str, kind: str) -> PydanticCustomError:
    """The error of a key that this kind of data set needs."""
    return PydanticCustomError("missing_of_kind", "{key} is missing for kind {kind}", {"key": key, "kind": kind})


class Synthetic(Section):
    """What the generator draws (kind synthetic)."""

    layout: Literal["idrid", "ddr"] = "idrid"
    """Raw layout and statistics to generate."""
    train: Annotated[Whole, Field(ge=1, le=5000)]
    """Training images."""
    val: Annotated[Whole, Field(ge=0, le=4999)] = 0
    """Validation images (layout ddr)."""
    test: Annotated[Whole, Field(ge=1, le=4999)]
    """Test images."""
    factor: Annotated[Number, Field(ge=0.05, le=1)]
    """Length as a factor of the real images'."""
    seed: Annotated[Whole, Field(ge=0, le=2**63 - 1)]
    """Seed of the generator."""
    contrast: Annotated[Number, Field(ge=0.1, le=10)] = 1.0
    """Contrast of the lesions as a factor of IDRiD's; tables state it."""


class Validation(Section):
    """A part of the training images that nothing is trained on, as the split val; for data sets that have none."""

    count: Annotated[Whole, Field(ge=1)]
    """Images, fewer than the training images."""
    seed: Annotated[Whole, Field(ge=0, le=2**63 - 1)] = 0
    """Seed that they are drawn with."""


class Protocol(Section):
    """What of a data set's section can change the numbers of a training."""

    kind: Literal["idrid", "ddr", "folder", "synthetic"]
    """idrid and ddr read the official archives; folder reads one's own data (docs/own-data.md); synthetic generates an
    archive in the layout of IDRiD or DDR."""
    synthetic: Annotated[Synthetic | None, Field(validate_default=True, exclude_if=_left_out)] = None
    """What the generator draws (kind synthetic, which needs it)."""
    lesions: Annotated[tuple[Lesion, ...], Field(min_length=1, max_length=255), EachOnce()] = LESIONS
    """Lesions in painting order, one output of the network each; only kind folder may have others than EX, HE, SE,
    MA."""
    validation: Annotated[Validation | None, Field(exclude_if=_left_out)] = None
    """A part of the training images that nothing is trained on, as the split val; for data sets that have none. Such a
    preparation needs a `results` folder of its own."""
    scale: Annotated[Size, Field(json_schema_extra=_because("OpenCV resamples no longer side"))]
    """Width and height that an image is fitted into (aspect kept) before the random ratio, and for evaluation."""
    crop: Annotated[Size, Field(json_schema_extra=_because("OpenCV resamples no longer side"))]
    """Width and height of a training crop, each at least 64."""
    iterations: Annotated[Updates, Field(json_schema_extra=_because("a hundred updates a second would take 11 days"))]
    """Parameter updates of one training."""
    mean: Colour
    """Mean of red, green and blue, 0 to 255."""
    std: Spreads
    """Standard deviation of red, green and blue, above 0 and up to 255."""

    @field_validator("synthetic")
    @classmethod
    def _drawn(cls, value: Synthetic | None, info: ValidationInfo) -> Synthetic | None:
        kind = info.data.get("kind", "")
        if kind == "synthetic" and value is None:
            raise _needed("synthetic", kind)
        return value

    @property
    def layout(self) -> str:
        """Which published protocol the data set follows: idrid, ddr, or folder for none."""
        return self.synthetic.layout if self.synthetic else self.kind


def _usual_eval_size(data: dict) -> EvalSize:
    layout = data["synthetic"].layout if data.get("synthetic") else data.get("kind")
    return "prepared" if layout == "ddr" else "native"


class Dataset(Protocol):
    """One data set, where it comes from and the constants of its protocol."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"kind": {"const": "synthetic"}}},
            "then": {"required": ["synthetic"]},
            "else": {"required": ["source"]},
        }
    )

    source: Annotated[Line | None, Field(validate_default=True, exclude_if=_left_out)] = None
    """Archive (of DDR also its first part) or folder; not for kind synthetic, and needed for all others. $VARIABLES are
    expanded."""
    eval_size: EvalSize = Field(default_factory=_usual_eval_size)
    """native evaluates at the size of the file on disk; prepared at the image fitted into `scale` and zero-padded to
    it, as if that were the file. The default is prepared for DDR and its synthetic layout, else native."""

    photographs: Annotated[Literal["never", "local", "publish"], Field(exclude_if=_local)] = "local"
    """Whether the panels of examples (`snakemake panels`) show the photographs: never; local, in files that are marked
    as not to be passed on; or publish, which needs their licence and attribution. Synthetic images are always shown."""
    licence: Annotated[Line | None, Field(exclude_if=_left_out)] = None
    """Licence of the photographs, as the panels print it."""
    attribution: Annotated[Line | None, Field(exclude_if=_left_out)] = None
    """Whom the photographs are by, as the panels print it."""

    @field_validator("source")
    @classmethod
    def _archived(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind", "synthetic")
        if kind != "synthetic" and value is None:
            raise _needed("source", kind)
        return value


class Pretrained(Section):
    """An ImageNet HRNetV2 checkpoint."""

    source: Line
    """File or URL of the checkpoint. $VARIABLES are expanded."""
    sha256: Sha256
    """Digest of the file in hexadecimal, or its leading digits, at least 8."""

    @property
    def name(self) -> str:
        """What these weights are called in runs and files, by whichever length of digest they are checked."""
        return self.sha256[:8]


def _from_word(value: Any) -> Any:
    if value == "none":
        return None
    if not isinstance(value, dict | Pretrained):
        raise unexpected("`none`, or an ImageNet HRNetV2 checkpoint: source (file or URL) and sha256")
    return value


def _to_word(value: Pretrained | None, handler: SerializerFunctionWrapHandler) -> Any:
    return "none" if value is None else handler(value)


def _none_is_a_word(schema: dict) -> None:
    schema["anyOf"] = [{"const": "none"}, *(kind for kind in schema["anyOf"] if kind != {"type": "null"})]
    schema["default"] = "none"


class Network(Section):
    """What of the section `model` builds the network."""

    backbone: Literal["hrnetv2_w48", "hrnetv2_reduced", "hrnetv2_embedded"] = "hrnetv2_w48"
    """hrnetv2_w48 (the paper's), or a reduced HRNetV2 for tests and CPUs."""
    operator_options: Options = {}
    """Options of operators that differ from the paper's setting, by operator file, as in config/default.yaml."""
    method_options: Annotated[Options, Field(exclude_if=_as_before_there_was_the_key)] = {}
    """Options of methods that differ from their defaults, by method (docs/methods.md). A method's size is its published
    one beside the backbone hrnetv2_w48, else its embedded one."""


class MethodWeights(Pretrained):
    """An ImageNet checkpoint that a method starts from."""

    file: Line
    """Which of the files that the method can start from it is, as the method names them (docs/methods.md)."""


class Model(Network):
    """The segmentation network around the operators."""

    pretrained: Annotated[
        Pretrained | None,
        BeforeValidator(_from_word),
        WrapSerializer(_to_word),
        Field(json_schema_extra=_none_is_a_word),
    ] = None
    """`none`, or an ImageNet HRNetV2 checkpoint: source (file or URL) and sha256 (whole, or its first 8 digits or
    more). The digest alone identifies the weights."""
    method_pretrained: Annotated[dict[str, MethodWeights], Field(exclude_if=_as_before_there_was_the_key)] = {}
    """ImageNet checkpoints of methods, by method: file (which one), source and sha256, as above. Without, a method
    starts from its own initialisation, and the tables say so."""


class Optimizer(Section):
    """A torch.optim optimiser."""

    type: Literal["SGD", "AdamW"]
    """Class in torch.optim."""
    lr: Annotated[Number, Field(gt=0)]
    """Learning rate at the start."""
    momentum: Annotated[
        Annotated[Number, Field(ge=0, le=1)] | None,
        Field(exclude_if=_left_out, json_schema_extra=_because("above it every step is longer than the last")),
    ] = None
    """SGD only."""
    weight_decay: Annotated[Annotated[Number, Field(ge=0)] | None, Field(exclude_if=_left_out)] = None
    """Weight decay."""


class Training(Section):
    """What of the recipe can change the numbers of a training. Its order is that of deviations in tables."""

    optimizer: Optimizer = Field(
        default_factory=lambda: Optimizer(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005)
    )
    """A torch.optim optimiser. The default is SGD with lr 0.01, momentum 0.9 and weight_decay 0.0005."""
    batch_size: Annotated[
        Whole, Field(ge=1, le=4096, json_schema_extra=_because("a batch's images are held in memory together"))
    ] = 4
    """Images of one parameter update (the effective batch)."""
    micro_batches: Annotated[Whole, Field(ge=1, le=4096, json_schema_extra=_because("a batch has no more images"))] = 1
    """Parts that one update is computed in, to save memory. Batch norm then sees batch_size / micro_batches images; the
    record says so."""
    train_source: Literal["native", "cached_2x"] = "native"
    """native trains from the file on disk (the authors' code); cached_2x from copies held in memory at twice the
    training scale (faster, labelled)."""
    copies: Literal["six", "one"] = "six"
    """six trains on the image, its three rotations and two flips (the authors' augment.py); one on the image alone."""
    ratio: tuple[Factor, Factor] = (0.5, 2.0)
    """Range of the random resize, as a factor of the data set's scale."""
    cat_max_ratio: Annotated[Number, Field(gt=0, le=1)] = 0.75
    """Largest share of one class that a random crop may have."""
    foreground: Annotated[Number, Field(ge=0, le=1, exclude_if=_as_before_there_was_the_key)] = 0.0
    """Share of the crops that are placed on a lesion, random among those of a random class of the image; the others lie
    anywhere, as published, where most show no lesion."""
    photometric: Flag = True
    """Random brightness, contrast, saturation and hue (mmseg's PhotoMetricDistortion)."""
    dice: Annotated[Literal["image", "batch"], Field(exclude_if=_as_before_there_was_the_key)] = "image"
    """image sums the Dice loss over each image and averages; batch sums over all images of a (micro-)batch, so that an
    image without a lesion of a class counts with those that have one."""
    cross_entropy: Annotated[Number, Field(ge=0, exclude_if=_as_before_there_was_the_key)] = 0.0
    """Weight of binary cross-entropy, the mean over pixels and lesions, that is added to the Dice loss, as nnU-Net adds
    both. A lesion that a network has unlearned gives Dice no gradient, but cross-entropy does."""
    positive_weight: Annotated[Number, Field(ge=1, exclude_if=_one)] = 1.0
    """Most that a lesion's pixel weighs against another in that cross-entropy. Up to it both sides weigh the same, so
    that a lesion of a thousandth of the pixels is heard; 1 weighs all pixels alike."""
    initial_probability: Annotated[Annotated[Number, Field(gt=0, lt=1)] | None, Field(exclude_if=_left_out)] = None
    """Probability that the untrained network gives every lesion at every pixel, by the biases of its last convolution
    (RetinaNet's prior, Lin et al. 2017). Null stands for the published 0.5, from where a short training has far to go
    to lesions of a thousandth of the pixels."""
    power: Annotated[Number, Field(ge=0)] = 0.9
    """Exponent of the polynomial decay of the learning rate."""
    min_lr: Annotated[Number, Field(ge=0)] = 0.0001
    """Learning rate at the end."""
    amp: Literal["none", "bfloat16", "float16"] = "none"
    """Automatic mixed precision of the training. float16, whose gradients are scaled, needs a GPU."""
    tf32: Flag = False
    """Let a GPU round the factors of float32 products to TF32's 10 bits. The authors' software did not."""
    cudnn_benchmark: Flag = False
    """Let cuDNN time its algorithms and take the fastest, which may be another one next time, with other low bits."""
    channels_last: Flag = False
    """Keep the channels of a pixel side by side in memory, in which order GPUs convolve faster. Low bits change."""
    compile: Annotated[Flag, Field(exclude_if=_as_before_there_was_the_key)] = False
    """Let torch.compile write the network's code: faster on a GPU, minutes later. Where no compiler works, the training
    goes on without and its record says why (compile_fallback). Low bits change."""
    gpus: Annotated[
        Whole,
        Field(
            ge=1,
            le=64,
            exclude_if=_one,
            json_schema_extra=_because("no machine has more"),
        ),
    ] = 1
    """GPUs of one machine that compute one training together (torchrun, DistributedDataParallel), as the authors' four
    did. Each takes an equal part of every micro-batch; batch norm is synchronised, so only low bits change, unless
    `dice: batch`, whose sums are over each part."""
    threads: Annotated[Whole, Field(ge=1, le=1024, json_schema_extra=_because("no machine has more cores"))] = 1
    """CPU threads of one training or evaluation. Fixed per job, since their number changes low bits."""


class Recipe(Training):
    """How one network is trained."""

    name: Line = "published"
    """Label of the recipe in tables and records; `published` only for the paper's own settings."""
    workers: Annotated[
        Whole, Field(ge=0, le=256, json_schema_extra=_because("each is a process with a copy of the data set's index"))
    ] = 2
    """Processes that load images in parallel to the training."""
    store: Flag = True
    """Keep the decoded training images on disk beside the manifest, four bytes a pixel (IDRiD 2.6 GB), shared by all
    trainings; several times faster, the same numbers. Without, every sample is decoded."""
    checkpoint_interval: Updates = 2000
    """Updates between two checkpoints."""
    log_interval: Updates = 50
    """Updates between two rows of the training curve."""
    time_limit: Annotated[
        Annotated[Number, Field(gt=0, le=24 * 365)] | None, Field(json_schema_extra=_because("that is a year"))
    ] = None
    """Hours that one start of a training may take, or null. Beyond it the training stops with a checkpoint, its state
    is timeout, and a raised limit continues it."""


class Evaluation(Section):
    """How a trained network is evaluated."""

    split: Literal["test", "val"] = "test"
    """Split that is evaluated."""
    untrained: Flag = False
    """Evaluate the same seed's untrained network too (metric ap_untrained)."""


class Profile(Section):
    """How parameters, FLOPs, memory and speed of what competes are measured (`rfbench profile`)."""

    rounds: Annotated[Whole, Field(ge=1, le=10000, json_schema_extra=_because("each times every network"))] = 9
    """Timings of every network, interleaved; ratios are medians over them."""
    size: Size = Field(default_factory=lambda: (512, 512))
    """Width and height of the profiled images. The default is the first data set's scale."""
    fused: Flag = True
    """Time every pair's form for inference (`rfbench.fuse`), too."""
    paper: Flag = True
    """Count FLOPs and memory of the paper's network, HRNetV2-W48, too; one or two seconds a competitor."""


Seed = Annotated[Whole, Field(ge=0, le=2**32 - 1)]
Swept = Annotated[dict[str, Annotated[tuple[Option, ...], Field(min_length=1), EachOnce()]], Field(min_length=1)]


class Settings(Section):
    """A whole configuration."""

    pairs: Pairs = ()
    """Operator pairs to train, `paper` for those that the paper compares, or `all` registered ones; `rfbench operators`
    lists them."""
    methods: Annotated[Methods, Field(exclude_if=_as_before_there_was_the_key)] = ()
    """Whole networks to train beside the pairs, `paper` for those that the paper compares, or `all`; docs/methods.md
    lists them. Each has the pairs' data, recipe and evaluation, but for what its paper needs otherwise."""
    method_recipes: Annotated[dict[str, dict[str, Any]], Field(exclude_if=_as_before_there_was_the_key)] = {}
    """Keys of the recipe that a method is trained with instead, by method, as {swin_upernet: {optimizer: {…}}}. They go
    before those that the method declares itself, which go before the recipe's."""
    sweep: dict[
        Annotated[str, Field(strict=True, pattern="^[a-z0-9_]+$")], Annotated[dict[str, Swept], Field(min_length=1)]
    ] = {}
    """Options to vary, by configured pair, operator and option, as in config/ablation.yaml. Each value becomes one more
    run per data set and seed, `<pair>_<option>_<value>`; all other options keep the pair's setting
    (model.operator_options), and a value that equals it is the pair's own run. Table 1 shows them."""
    paper_rows_only: Flag = False
    """Of the data sets and competitors, train only the combinations that the paper's tables print."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), EachOnce()] = (0, 1, 2)
    """One training per data set, competitor and seed. The paper averages three repetitions."""
    results: Folder = "results"
    """Folder of everything that runs produce. Give another one to keep two configurations apart."""
    reports: Folder = "reports"
    """Folder of the tables and figures."""
    keep_hours: Annotated[Number, Field(ge=0)] = 1.0
    """Hours of finished trainings and evaluations that a change of code alone may repeat unasked. Beyond, nothing
    starts until `rfbench keep` or `retrain` decides."""
    retrain: Flag = False
    """Repeat finished runs whose code has changed, however long it takes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """cpu, cuda, or auto (cuda where one is visible)."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Data sets by the name that every table shows. The name of a synthetic one begins with SYN."""
    model: Model = Field(default_factory=Model)
    recipe: Recipe = Field(default_factory=Recipe)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    profile: Profile = Field(default_factory=dict, validate_default=True)

    @field_validator("profile", mode="before")
    @classmethod
    def _as_large_as_the_first_data_set(cls, value: Any, info: ValidationInfo) -> Any:
        datasets = info.data.get("datasets")  # none if they are wrong
        if isinstance(value, dict) and datasets:
            return {"size": next(iter(datasets.values())).scale, **value}
        return value
