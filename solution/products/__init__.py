"""What users run: predictions, pictures of them, the embedded default, and SAR2Optical.

`predict.predict_pair` goes from two images to the offset map; `proposals` asks the teams, `outputs` knows the files
that are left behind, `tiepoints` writes the candidates for other programs.
"""
