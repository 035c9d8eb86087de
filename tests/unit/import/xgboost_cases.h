// SPDX-License-Identifier: Apache-2.0
//
// A model of two trees over three columns in XGBoost's JSON, small enough to be worked out by hand:
// the first asks x < 0.5, then the category of c; the second is a leaf.
#ifndef XGBOOST_CASES_H
#define XGBOOST_CASES_H

static const char xgboost_model[] =
    "{\"learner\":{\"attributes\":{},\"feature_names\":[\"x\",\"y\",\"c\"],\"feature_types\":[],"
    "\"gradient_booster\":{\"model\":{\"gbtree_model_param\":{\"num_trees\":\"2\"},"
    "\"tree_info\":[0,0],\"trees\":["
    "{\"categories\":[1,34],\"categories_nodes\":[2],\"categories_segments\":[0],"
    "\"categories_sizes\":[2],\"default_left\":[1,0,0,0,0],\"id\":0,"
    "\"left_children\":[1,-1,3,-1,-1],\"loss_changes\":[2.5,0,1.5,0,0],"
    "\"right_children\":[2,-1,4,-1,-1],\"split_conditions\":[0.5,0.25,7.5,-0.75,3.5],"
    "\"split_indices\":[0,0,2,0,0],\"split_type\":[0,0,1,0,0],\"sum_hessian\":[9,4,5,2,3]},"
    "{\"default_left\":[0],\"id\":1,\"left_children\":[-1],\"loss_changes\":[0],"
    "\"right_children\":[-1],\"split_conditions\":[0.125],\"split_indices\":[0],"
    "\"split_type\":[0],\"sum_hessian\":[9]}"
    "]},\"name\":\"gbtree\"},"
    "\"learner_model_param\":{\"base_score\":\"[1.5E0]\",\"num_class\":\"0\","
    "\"num_feature\":\"3\",\"num_target\":\"1\"},"
    "\"objective\":{\"name\":\"reg:squarederror\"}},\"version\":[3,2,0]}";

// Weights by feature, two outputs each, then the biases. Of the base scores the first is for both.
static const char xgboost_line[] =
    "{\"learner\":{\"feature_names\":[],\"gradient_booster\":{\"model\":{\"boosted_rounds\":5,"
    "\"weights\":[2,-1,0.5,0.25,-4,8,0.125,-0.125]},\"name\":\"gblinear\"},"
    "\"learner_model_param\":{\"base_score\":\"[1E0,7E0]\",\"num_class\":\"2\","
    "\"num_feature\":\"3\",\"num_target\":\"1\"},"
    "\"objective\":{\"name\":\"multi:softprob\"}},\"version\":[3,2,0]}";

#endif
