"""GENERATED from protocol/*.ts by `npm run protocol`; do not edit."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

PROTOCOL_VERSION = 6
PREFIX_BYTES = 64
PREFIX_MAGIC = b"IMSC"
UNIFORM_COLUMNS = ("timestep", "labelDropout", "time")
DTYPE_BYTES = {"uint8": 1, "int32": 4, "float16": 2, "float32": 4}


class DigitsDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="digits"):
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class EmojiDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="emoji"):
    resolution: Annotated[int, Meta(ge=1, le=32)]
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class Cifar10Dataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="cifar10"):
    path: Annotated[str, Meta(min_length=1)] | None
    split: Literal["train", "test", "all"]
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class Cifar100Dataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="cifar100"):
    path: Annotated[str, Meta(min_length=1)] | None
    split: Literal["train", "test", "all"]
    labels: Literal["fine", "coarse"]
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class CelebaDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="celeba"):
    path: Annotated[str, Meta(min_length=1)] | None
    split: Literal["train", "valid", "test", "all"]
    center_crop: Annotated[int, Meta(ge=1, le=178)]
    resolution: Annotated[int, Meta(ge=1, le=178)]
    attribute: Annotated[str, Meta(min_length=1)] | None
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class ImageFolderDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="image-folder"):
    path: Annotated[str, Meta(min_length=1)]
    resolution: Annotated[int, Meta(ge=1, le=16384)] | None
    color: Literal["rgb", "gray"]
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class ParquetDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="parquet"):
    path: Annotated[str, Meta(min_length=1)] | None
    repo: str | None
    revision: str
    split: Annotated[str, Meta(min_length=1)]
    image_column: Annotated[str, Meta(min_length=1)] | None
    label_column: Annotated[str, Meta(min_length=1)] | None
    resolution: Annotated[int, Meta(ge=1, le=16384)] | None
    color: Literal["rgb", "gray"]
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class ArraysDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="arrays"):
    path: Annotated[str, Meta(min_length=1)]
    images: Annotated[str, Meta(min_length=1)] | None
    labels: Annotated[str, Meta(min_length=1)] | None
    layout: Literal["auto", "nchw", "nhwc"]
    scaling_factor: Annotated[float, Meta(gt=0)] | None
    posterior: Literal["sample", "mean"]
    vae: Annotated[str, Meta(min_length=1)] | None
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class IdxDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="idx"):
    path: Annotated[str, Meta(min_length=1)] | None
    name: Literal["mnist", "fashion-mnist"]
    split: Literal["train", "test", "all"]
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


class CustomDataset(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="custom"):
    name: Annotated[str, Meta(min_length=1)]
    sha256: str | None
    horizontal_flip: bool
    image_scale: Annotated[float, Meta(gt=0)]
    random_crop_padding: Annotated[int, Meta(ge=0, le=4096)]
    padding_mode: Literal["constant", "edge", "reflect"]
    random_resized_crop: Annotated[float, Meta(gt=0, le=1)]
    resize_filter: Literal["box", "bilinear", "bicubic", "lanczos"]


DatasetConfig = DigitsDataset | EmojiDataset | Cifar10Dataset | Cifar100Dataset | CelebaDataset | ImageFolderDataset | ParquetDataset | ArraysDataset | IdxDataset | CustomDataset


class DdimObjective(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="ddim"):
    prediction_type: Literal["epsilon", "v_prediction"]
    num_train_timesteps: Annotated[int, Meta(ge=1, le=2147483647)]
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
    beta_start: Annotated[float, Meta(gt=0, lt=1)]
    beta_end: Annotated[float, Meta(gt=0, lt=1)]
    snr_gamma: Annotated[float, Meta(gt=0)] | None


class ConsistencyObjective(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="consistency"):
    preset: Literal["improved", "original"]
    sigma_min: Annotated[float, Meta(gt=0)]
    sigma_max: Annotated[float, Meta(gt=0)]
    rho: Annotated[float, Meta(gt=0)]
    sigma_data: Annotated[float, Meta(gt=0)]
    discretization: Literal["sqrt", "doubling"]
    s0: Annotated[int, Meta(ge=2, le=2147483647)]
    s1: Annotated[int, Meta(ge=2, le=2147483647)]
    discretization_steps: Annotated[int, Meta(ge=1, le=2147483647)]
    level_sampling: Literal["uniform", "lognormal"]
    p_mean: float
    p_std: Annotated[float, Meta(gt=0)]
    target_ema: Literal["adaptive", "none"]
    start_ema: Annotated[float, Meta(ge=0, lt=1)]
    weighting: Literal["uniform", "inverse_gap"]
    loss: Literal["l2", "pseudo_huber", "lpips"]
    huber_c: Annotated[float, Meta(gt=0)] | None
    lpips_weights: str | None
    lpips_sha256: str | None


class FlowObjective(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="flow"):
    time_sampling: Literal["uniform", "logit_normal"]
    logit_mean: float
    logit_std: Annotated[float, Meta(gt=0)]
    num_train_timesteps: Annotated[int, Meta(ge=1, le=2147483647)]


class ModuleObjective(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="module"):
    module: Annotated[str, Meta(min_length=1)]
    sha256: str | None
    options: dict[str, Any]


ObjectiveConfig = DdimObjective | ConsistencyObjective | FlowObjective | ModuleObjective


class IndependentAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="independent"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]


class LinearAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="linear"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    metric: Literal["l1", "l2", "squaredL2"]
    precision: Literal["float32", "float16"]


class QuantizedAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="quantized"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    tolerance: Annotated[float, Meta(ge=0, le=1)]


class GreedyAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="greedy"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]


class NegatedAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="negated"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    tolerance: Annotated[float, Meta(ge=0, le=1)]


class NearestAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="nearest"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    candidates: Annotated[int, Meta(ge=1, le=2147483647)]
    precision: Literal["float32", "float16"]


class PersistentAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="persistent"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    tolerance: Annotated[float, Meta(ge=0, le=1)]
    noises_per_image: Annotated[int, Meta(ge=1, le=64)]
    refresh_share: Annotated[float, Meta(ge=0, le=1)]


class ModuleAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="module"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    url: str
    options: dict[str, Any]
    sha256: str | None


class CustomAssignment(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="custom"):
    pool_size: Annotated[int, Meta(ge=1, le=16384)]
    within: Literal["pool", "label"]
    start_step: Annotated[int, Meta(ge=0, le=2147483647)]
    name: Annotated[str, Meta(min_length=1)]


AssignmentConfig = IndependentAssignment | LinearAssignment | QuantizedAssignment | GreedyAssignment | NegatedAssignment | NearestAssignment | PersistentAssignment | ModuleAssignment | CustomAssignment


class UnetNetwork(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="unet"):
    preset: Literal["tiny", "ddpm-cifar10", "flow-cifar10", "consistency-32", "consistency-64"]
    block_out_channels: Annotated[list[Annotated[int, Meta(ge=1, le=2147483647)]], Meta(min_length=1)]
    layers_per_block: Annotated[int, Meta(ge=1, le=2147483647)]
    down_block_types: Annotated[list[Literal["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]], Meta(min_length=1)]
    up_block_types: Annotated[list[Literal["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]], Meta(min_length=1)]
    attention_head_dim: Annotated[int, Meta(ge=1, le=2147483647)] | None
    norm_num_groups: Annotated[int, Meta(ge=1, le=2147483647)]
    attn_norm_num_groups: Annotated[int, Meta(ge=1, le=2147483647)] | None
    norm_eps: Annotated[float, Meta(gt=0)]
    downsample_type: Literal["conv", "resnet"]
    upsample_type: Literal["conv", "resnet"]
    downsample_padding: Annotated[int, Meta(ge=0, le=2147483647)]
    flip_sin_to_cos: bool
    freq_shift: Annotated[int, Meta(ge=0, le=2147483647)]
    resnet_time_scale_shift: Literal["default", "scale_shift"]
    dropout: Annotated[float, Meta(ge=0, lt=1)]


class PretrainedNetwork(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="pretrained"):
    init_from: Annotated[str, Meta(min_length=1)]
    sha256: str | None


class ModuleNetwork(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="module"):
    module: Annotated[str, Meta(min_length=1)]
    sha256: str | None
    options: dict[str, Any]


NetworkConfig = UnetNetwork | PretrainedNetwork | ModuleNetwork


class OptimizerConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    kind: Literal["adam", "adamw", "radam"]
    learning_rate: Annotated[float, Meta(gt=0)]
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"]
    lr_warmup_steps: Annotated[int, Meta(ge=0, le=2147483647)]
    lr_decay_steps: Annotated[int, Meta(ge=1, le=2147483647)] | None
    lr_num_cycles: Annotated[int, Meta(ge=1, le=2147483647)]
    lr_power: Annotated[float, Meta(gt=0)]
    adam_beta1: Annotated[float, Meta(ge=0, lt=1)]
    adam_beta2: Annotated[float, Meta(ge=0, lt=1)]
    adam_weight_decay: Annotated[float, Meta(ge=0)]
    adam_epsilon: Annotated[float, Meta(gt=0)]
    max_grad_norm: Annotated[float, Meta(gt=0)]


class EmaConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    decay: Annotated[float, Meta(ge=0, lt=1)]
    min_decay: Annotated[float, Meta(ge=0, lt=1)]
    use_ema_warmup: bool
    inv_gamma: Annotated[float, Meta(gt=0)]
    power: Annotated[float, Meta(gt=0)]


class ConditioningConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    class_labels: bool
    label_dropout: Annotated[float, Meta(ge=0, lt=1)]


class TrainingConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    mixed_precision: Literal["no", "fp16", "bf16"]
    gradient_accumulation_steps: Annotated[int, Meta(ge=1, le=2147483647)]
    gradient_checkpointing: bool
    torch_compile: bool
    allow_tf32: bool
    deterministic: bool


class ValidationConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    num_images: Annotated[int, Meta(ge=0, le=2147483647)]
    every_steps: Annotated[int, Meta(ge=1, le=2147483647)]


class SamplingConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    every_steps: Annotated[int, Meta(ge=0, le=2147483647)]
    num_images: Annotated[int, Meta(ge=1, le=4096)]
    num_inference_steps: Annotated[int, Meta(ge=1, le=2147483647)]
    seed: Annotated[int, Meta(ge=0, le=4294967295)]
    eta: Annotated[float, Meta(ge=0, le=1)]
    timestep_spacing: Literal["leading", "linspace", "trailing", "quadratic"]
    use_clipped_model_output: bool
    solver: Literal["euler", "dopri5"]
    guidance_scale: Annotated[float, Meta(ge=0)]


class InceptionConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    weights: Annotated[str, Meta(min_length=1)]
    sha256: str
    backend: Literal["torchscript", "torch-fidelity"]
    mode: Literal["legacy-tensorflow", "pytorch-fid"]


class EvaluationConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    every_steps: Annotated[int, Meta(ge=0, le=2147483647)]
    num_images: Annotated[int, Meta(ge=16, le=2147483647)]
    num_inference_steps: list[Annotated[int, Meta(ge=1, le=2147483647)]]
    seed: Annotated[int, Meta(ge=0, le=4294967295)]
    num_bootstrap: Annotated[int, Meta(ge=0, le=2147483647)]
    inception: InceptionConfig | None


class GateConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    every_steps: Annotated[int, Meta(ge=0, le=2147483647)]


class CheckpointConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    every_steps: Annotated[int, Meta(ge=1, le=2147483647)]
    total_limit: Annotated[int, Meta(ge=1, le=2147483647)]


class TrackingConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    report_to: list[Literal["tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "aim", "clearml", "dvclive", "swanlab"]]


class ListenConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    address: str
    key_file: Annotated[str, Meta(min_length=1)] | None
    client_keys: list[Annotated[str, Meta(min_length=1)]]


class WorkerConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    device: Literal["auto", "cuda", "mps", "cpu"]
    num_threads: Annotated[int, Meta(ge=0, le=2147483647)]
    start_seconds: Annotated[float, Meta(gt=0)]
    lease_seconds: Annotated[float, Meta(gt=0)]
    step_seconds: Annotated[float, Meta(gt=0)]
    max_restarts: Annotated[int, Meta(ge=0, le=2147483647)]
    listen: ListenConfig | None


class PipelineConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    byte_budget: Annotated[int, Meta(ge=1, le=2147483647)]
    threads: Annotated[int, Meta(ge=0, le=64)]
    pool_seconds: Annotated[float, Meta(gt=0, le=86400)]
    dataset_bytes: Annotated[int, Meta(ge=0, le=9007199254740991)]
    credits: Annotated[int, Meta(ge=1, le=2147483647)]
    noise_dtype: Literal["float16", "float32"]


class TrainConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    dataset: DatasetConfig
    objective: ObjectiveConfig
    assignment: AssignmentConfig
    network: NetworkConfig
    optimizer: OptimizerConfig
    ema: EmaConfig
    conditioning: ConditioningConfig
    training: TrainingConfig
    validation: ValidationConfig
    sampling: SamplingConfig
    evaluation: EvaluationConfig
    gate: GateConfig
    checkpoint: CheckpointConfig
    tracking: TrackingConfig
    worker: WorkerConfig
    pipeline: PipelineConfig
    global_batch_size: Annotated[int, Meta(ge=1, le=16384)]
    max_train_steps: Annotated[int, Meta(ge=1, le=2147483647)]
    seed: Annotated[int, Meta(ge=0, le=4294967295)]
    output_dir: Annotated[str, Meta(min_length=1)]


class DatasetInfo(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    sha256: str
    num_images: Annotated[int, Meta(ge=1, le=2147483647)]
    image_shape: Annotated[list[Annotated[int, Meta(ge=1, le=2147483647)]], Meta(min_length=3, max_length=3)]
    num_classes: Annotated[int, Meta(ge=0, le=2147483647)]
    dtype: Literal["uint8", "float32"]
    scaling_factor: Annotated[float, Meta(gt=0)] | None


class RealImages(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    images: str
    labels: str | None


class Welcome(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="welcome"):
    run_folder: str
    config_hash: str
    config: TrainConfig
    dataset: DatasetInfo
    real_images: RealImages | None


class Reject(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="reject"):
    code: str
    message: str


class Stop(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="stop"):
    pass


class Ping(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="ping"):
    pass


Command = Welcome | Reject | Stop | Ping


class Hello(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="hello"):
    protocol_version: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    run_id: str
    generation: Annotated[int, Meta(ge=0, le=2147483647)]
    rank: Annotated[int, Meta(ge=0, le=2147483647)]
    token: str
    config_hash: str
    pid: Annotated[int, Meta(ge=-2147483648, le=2147483647)]


class Attach(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="attach"):
    token: str


class Fingerprint(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    python: str
    torch: str
    diffusers: str
    device: str
    cpu_capability: str
    num_threads: Annotated[int, Meta(ge=1, le=2147483647)]
    platform: str


class Ready(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="ready"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    resumed_from: str | None
    num_parameters: Annotated[int, Meta(ge=0, le=4294967295)]
    fingerprint: Fingerprint
    warnings: list[str]


class Credit(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="credit"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    held_ms: Annotated[float, Meta(ge=0)]


class StepDone(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="stepDone"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    loss: float | None
    grad_norm: float | None
    learning_rate: float
    ema_decay: float
    train_ms: Annotated[float, Meta(ge=0)]
    wait_ms: Annotated[float, Meta(ge=0)]
    stage_ms: Annotated[float, Meta(ge=0)]
    batch_sha256: str


class Validated(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="validated"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    loss: float | None
    ema_loss: float | None
    num_images: Annotated[int, Meta(ge=1, le=2147483647)]
    duration_ms: Annotated[float, Meta(ge=0)]


class Sampled(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="sampled"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    path: str
    duration_ms: Annotated[float, Meta(ge=0)]


class MeasureValue(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    value: float | None
    low: float | None
    high: float | None
    floor: float | None


class Evaluated(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="evaluated"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    num_inference_steps: Annotated[int, Meta(ge=1, le=2147483647)]
    num_images: Annotated[int, Meta(ge=1, le=2147483647)]
    features: str
    features_sha256: str | None
    reference: str
    num_reference: Annotated[int, Meta(ge=1, le=2147483647)]
    measures: list[MeasureValue]
    duration_ms: Annotated[float, Meta(ge=0)]


class Saved(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="saved"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    path: str
    state_sha256: str
    duration_ms: Annotated[float, Meta(ge=0)]


class Heartbeat(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="heartbeat"):
    phase: Literal["starting", "waiting", "compiling", "training", "validating", "sampling", "evaluating", "saving", "ending"]
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    age_ms: Annotated[float, Meta(ge=0)]


class Warning(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="warning"):
    code: str
    message: str


class Stopped(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="stopped"):
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    checkpoint: str
    state_sha256: str
    pipeline: str


class Failed(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="failed"):
    code: str
    message: str
    traceback: str
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    is_retryable: bool


Event = Hello | Attach | Ready | Credit | StepDone | Validated | Sampled | Evaluated | Saved | Heartbeat | Warning | Stopped | Failed


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    dtype: Literal["uint8", "int32", "float16", "float32"]
    shape: list[Annotated[int, Meta(ge=0, le=2147483647)]]
    byte_length: Annotated[int, Meta(ge=0, le=4294967295)]
    crc32: Annotated[int, Meta(ge=0, le=4294967295)]


class TelemetryValue(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    value: float


class BatchHeader(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", tag_field="kind", tag="batch"):
    split: Literal["train", "heldOut"]
    step: Annotated[int, Meta(ge=0, le=4294967295)]
    epoch: Annotated[int, Meta(ge=0, le=4294967295)]
    num_images: Annotated[int, Meta(ge=1, le=2147483647)]
    tensors: list[TensorSpec]
    telemetry: list[TelemetryValue]


class Protocol(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    command: Command
    event: Event
    batch_header: BatchHeader

