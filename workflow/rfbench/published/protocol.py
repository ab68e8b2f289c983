"""What the paper fixes per data set (M2MRF v2, "Implementation Details", and the authors' configurations)."""

PUBLISHED_DATASETS = {
    "idrid": {"scale": [1440, 960], "crop": [1440, 960], "iterations": 40000},
    "ddr": {"scale": [1024, 1024], "crop": [1024, 1024], "iterations": 60000},
}
# Mean and standard deviation of the training images in RGB, as in the authors' configurations.
PUBLISHED_NORMALISATION = {
    "idrid": {"mean": [116.513, 56.437, 16.309], "std": [80.206, 41.232, 13.293]},
    "ddr": {"mean": [81.205, 50.636, 21.216], "std": [76.252, 48.798, 21.625]},
}
DATASET_NAMES = {"idrid": "IDRiD", "ddr": "DDR"}  # as results.csv names the data sets of these layouts
