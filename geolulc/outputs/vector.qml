{#
The style of a layer of polygons, or of a table without geometry, which has no ``entries``;
``qgis_styles.py`` fills it in. A symbol's settings stand twice: QGIS before 3.26 reads ``prop``,
later ones read ``Option``.
#}
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="AllStyleCategories">
  {% if entries %}
  <renderer-v2 type="categorizedSymbol" attr="{{ attribute }}" symbollevels="0" enableorderby="0" forceraster="0">
    <categories>
      {% for entry in entries %}
      <category value="{{ entry.number }}" symbol="{{ loop.index0 }}" label="{{ entry.label }}" render="true" type="long" />
      {% endfor %}
    </categories>
    <symbols>
      {% for settings in symbols %}
      <symbol type="fill" name="{{ loop.index0 }}" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            {% for key, value in settings.items() %}
            <Option name="{{ key }}" type="QString" value="{{ value }}" />
            {% endfor %}
          </Option>
          {% for key, value in settings.items() %}
          <prop k="{{ key }}" v="{{ value }}" />
          {% endfor %}
        </layer>
      </symbol>
      {% endfor %}
    </symbols>
    <rotation />
    <sizescale />
  </renderer-v2>
  {% endif %}
  <aliases>
    {% for field, alias in aliases.items() %}
    <alias index="{{ loop.index0 }}" field="{{ field }}" name="{{ alias }}" />
    {% endfor %}
  </aliases>
  {% if "name" in aliases %}
  <previewExpression>"name"</previewExpression>
  {% endif %}
  <layerGeometryType>{{ 2 if entries else 4 }}</layerGeometryType>
</qgis>
