// SPDX-License-Identifier: Apache-2.0
//
// A model of two trees over three columns in LightGBM's text, small enough to be worked out by
// hand: the first asks a <= 1.5 (missing type NaN, default left), then the category of c (1, 3,
// 34); the second asks b <= -2 (missing type zero, default left). tree_sizes is filled in by the
// test.
#ifndef LIGHTGBM_CASES_H
#define LIGHTGBM_CASES_H

#define LIGHTGBM_HEAD                                                                              \
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=2\n"  \
    "objective=regression\nfeature_names=a b c\nfeature_infos=none none none\n"
#define LIGHTGBM_TREE0                                                                             \
    "Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 2\nsplit_gain=4 2\nthreshold=1.5 0\n"        \
    "decision_type=10 1\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=0.25 -0.75 3.5\n"          \
    "leaf_count=4 3 2\ninternal_count=9 5\ncat_boundaries=0 2\ncat_threshold=10 4\nis_linear=0\n"  \
    "shrinkage=1\n\n\n"
#define LIGHTGBM_TREE1                                                                             \
    "Tree=1\nnum_leaves=2\nnum_cat=0\nsplit_feature=1\nthreshold=-2\ndecision_type=6\n"            \
    "left_child=-1\nright_child=-2\nleaf_value=100 200\nis_linear=0\nshrinkage=1\n\n\n"
#define LIGHTGBM_TAIL                                                                              \
    "end of trees\n\nfeature_importances:\na=1\n\nparameters:\nend of parameters\n"
// A linear tree in place of the second: two leaves with two terms and none; and pandas' categories
// of c.
#define LIGHTGBM_LINEAR                                                                            \
    "Tree=1\nnum_leaves=2\nnum_cat=0\nsplit_feature=1\nthreshold=-2\ndecision_type=10\n"           \
    "left_child=-1\nright_child=-2\nleaf_value=100 200\nis_linear=1\nleaf_const=0.1 7\n"           \
    "num_features=2 0\nleaf_features=1 0   \nleaf_coeff=0.3 0.6   \nshrinkage=1\n\n\n"
#define LIGHTGBM_PANDAS                                                                            \
    "end of trees\n\nparameters:\n[categorical_feature: 2]\nend of parameters\n\n"                 \
    "pandas_categorical:[[\"red\", \"blue\", \"\", \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", "     \
    "\"g\", "                                                                                      \
    "\"h\", \"i\", \"j\", \"k\", \"l\", \"m\", \"n\", \"o\", \"p\", \"q\", \"r\", \"s\", \"t\", "  \
    "\"u\", "                                                                                      \
    "\"v\", \"w\", \"x\", \"y\", \"z\", \"0\", \"1\", \"2\", \"3\", \"4\", \"5\"]]\n"

#endif
