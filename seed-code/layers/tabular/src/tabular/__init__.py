"""Everything the jobs and the endpoint of this project share.

The job scripts are beside this package. All of them run in one image, SageMaker XGBoost 3.2-0 (Python 3.12, pandas,
numpy, scikit-learn, pyarrow, matplotlib, boto3; no SageMaker SDK, nothing is installed at run time), from a copy of
this folder with the resolved configuration in ``config.json`` beside the scripts (`tabular.config`).

Processing jobs read ``<base>/input/<name>`` and write ``<base>/output/<name>``; ``--base`` defaults to the environment
variable ``SM_PROCESSING_BASE``, else ``/opt/ml/processing``.

===============  =====================================================  ==========================================
script           reads                                                  writes
===============  =====================================================  ==========================================
``validate.py``  ``data``                                               ``schema`` (schema.json)
``prepare.py``   ``data`` (may be sharded over instances), ``schema``   ``train``, ``validation``, ``test`` (Parquet)
``train.py``     channels ``train``, ``validation``, ``schema``         ``SM_MODEL_DIR``, ``SM_OUTPUT_DATA_DIR``
``evaluate.py``  ``model`` (model.tar.gz), ``train``, ``validation``,   ``evaluation`` (evaluation.json, curves,
                 ``test``                                               importance, predictions.csv), ``baseline``
                                                                        (statistics.json, constraints.json),
                                                                        ``samples`` (held-out records with scores)
``inference.py`` the model archive                                      answers of the endpoint
===============  =====================================================  ==========================================

``evaluate.py`` also takes ``--model-package-group NAME``: the latest approved package of that group is scored on the
same test records. Only that (`tabular.champion`) calls AWS.
"""
